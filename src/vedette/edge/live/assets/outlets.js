// What stands beside watching: films, clips and publishing; and in sentences what of it has stopped.
import { make } from "./elements.js";

const number = new Intl.NumberFormat("en");

// Changes the list only when something else is to be said: it is read aloud.
export function showProblems(list, status) {
  const [first, ...rest] = status.publishing.filter((outlet) => outlet.problem); // one line for all: the tiles tell more
  const left = status.problems.filter((problem) => !rest.some((outlet) => outlet.problem === problem));
  const sentences = left.map((problem) => {
    const since = outlets(status).find((outlet) => outlet.problem === problem)?.stopped_since_unix_s;
    const when = since ? ` (since ${new Date(since * 1000).toLocaleTimeString([], { hour12: false })})` : "";
    const others = rest.length && problem === first.problem ? `; nor can ${rest.map((outlet) => outlet.camera).join(", ")}` : "";
    return `${problem.charAt(0).toUpperCase()}${problem.slice(1)}${when}${others}`;
  });
  list.hidden = sentences.length === 0;
  const said = sentences.join("\n");
  if (said === list.dataset.said) return;
  list.dataset.said = said;
  list.replaceChildren(...sentences.map((sentence) => make("li", "", sentence)));
}

const outlets = (status) => [status.recording, status.clips, ...status.publishing].filter(Boolean);

// For the bar on top: [name, value, unit, mood].
export function outletMeters(status) {
  return [["Films", status.recording], ["Clips", status.clips]].filter(([, outlet]) => outlet).map(([name, outlet]) => {
    const mood = outlet.state === "stopped" ? "hot" : outlet.dropped > 0 ? "warm" : "spare";
    return [name, number.format(outlet.files), outlet.state === "stopped" ? "stopped" : `· ${size(outlet.bytes)}`, mood];
  });
}

// On a camera's tile: [words, mood, title]; null where it is not published.
export function publishingOf(status, camera) {
  const one = status.publishing.find((outlet) => outlet.camera === camera);
  if (!one) return null;
  if (one.state === "waiting" && !status.cameras.some((other) => other.name === camera && other.state === "running")) return null;
  if (one.state === "stopped") return ["not published", "bad", one.problem];
  const dropped = one.dropped ? `; ${number.format(one.dropped)} pictures were left out` : "";
  return one.state === "working" ? ["published", "", `Published at ${one.url}: ${size(one.bytes)}${dropped}`] : ["publishing …", "", `To be published at ${one.url}`];
}

function size(bytes) {
  if (bytes < 1e9) return `${bytes < 1e7 ? (bytes / 1e6).toFixed(1) : number.format(Math.round(bytes / 1e6))} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
