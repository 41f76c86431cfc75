// The loop of the live page: one request at a time asks for all that is new, draws it, asks again. See routes.py.
import { Wall } from "./tiles.js";
import { Stages } from "./stages.js";
import { Events } from "./events.js";
import { CameraView } from "./camera_view.js";
import { outletMeters, publishingOf, showProblems } from "./outlets.js";
import { change, checked, currentSession } from "./asking.js";

const LEAST_INTERVAL_MS = 200; // five pictures a second of each camera are enough
const HIDDEN_INTERVAL_MS = 2000;
const LONGEST_RETRY_MS = 5000;
const ANSWER_MS = 8000; // the server answers within a second; a laptop that slept asks on a connection that is no more
const BODY_MS = 60000;

const byId = (id) => document.getElementById(id);
const wall = new Wall(byId("wall"));
const stages = new Stages(byId("stages"));
const events = new Events(byId("event-list"), byId("event-empty"), byId("event-badge"));
const view = new CameraView(byId("main"), wall, byId("panel"));
const seen = { instance: "", event: 0, stages: -1, pictures: {} };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const number = new Intl.NumberFormat("en");

async function ask() {
  const cameras = document.hidden ? [] : wall.visible();
  const controller = new AbortController();
  const giveUp = () => controller.abort();
  let patience = setTimeout(giveUp, ANSWER_MS);
  let bytes;
  try {
    const response = await fetch("/next", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...seen, cameras }),
      signal: controller.signal,
    });
    if (!checked(response).ok) throw new Error(`the server answered ${response.status}`);
    clearTimeout(patience);
    patience = setTimeout(giveUp, BODY_MS);
    bytes = await response.arrayBuffer();
  } finally {
    clearTimeout(patience);
  }
  const headEnd = 4 + new DataView(bytes).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, headEnd - 4)));
  let at = headEnd;
  const pictures = head.pictures.map((picture) => {
    const jpeg = new Blob([new Uint8Array(bytes, at, picture.size_bytes)], { type: "image/jpeg" });
    at += picture.size_bytes;
    return { ...picture, jpeg };
  });
  return { ...head, pictures };
}

async function draw(news) {
  if (news.instance !== seen.instance) { // another run than before, or the first answer
    currentSession(true).then((session) => { byId("logout").hidden = !session.logged_in; }, () => {});
    Object.assign(seen, { instance: news.instance, event: 0, stages: -1, pictures: {} });
    events.clear();
    view.clear();
    wall.clear();
  }
  showStatus(news.status);
  showProblems(byId("problems"), news.status);
  wall.hasVideo = news.video;
  wall.publishing = (name) => publishingOf(news.status, name);
  wall.update(view.shown(news.status.cameras));
  view.update(news.status.cameras);
  const hasCameras = news.status.cameras.length > 0;
  if (news.stages) byId("stages").hidden = news.stages.length === 0; // before the charts measure their width
  stages.update(news.stages, hasCameras);
  seen.stages = news.stages_version;
  byId("main").hidden = byId("switch").hidden = !hasCameras;
  byId("waiting").hidden = hasCameras || !stages.isEmpty;
  events.add(news.events);
  if (news.events.length) seen.event = news.events.at(-1).number;
  await Promise.all(news.pictures.map(async (picture) => {
    await wall.show(picture);
    seen.pictures[picture.camera] = picture.serial;
  }));
}

function showStatus(status) {
  const running = status.cameras.filter((camera) => camera.state === "running");
  const drops = status.cameras.reduce((sum, camera) => sum + camera.drops, 0);
  const sum = (field) => running.reduce((total, camera) => total + camera[field], 0);
  byId("subtitle").textContent = [status.box, status.bundle, status.engine].filter(Boolean).join(" · ");
  document.title = status.box ? `${status.box} · Vedette` : "Vedette";
  byId("event-total").textContent = status.events ? `${number.format(status.events)} so far` : "";
  const share = status.machine_cpu_percent;
  const meters = [];
  if (status.cameras.length) {
    meters.push(["Cameras", `${running.length}`, `of ${status.cameras.length}`, running.length < status.cameras.length && "warm"]);
    meters.push(["Frames", sum("fps").toFixed(0), "/s"]);
    meters.push(["Detections", sum("detections_per_s").toFixed(1), "/s"]);
    meters.push(["Dropped", number.format(drops), "", drops > 0 && "warm"]);
  }
  if (status.events_lost) meters.push(["Events lost", number.format(status.events_lost), "", "hot"]);
  meters.push(["CPU, process", (status.process_cpu_percent / 100).toFixed(1), `/ ${status.cores} cores`]);
  meters.push(["CPU, machine", share.toFixed(0), "%", share > 90 && "warm"]);
  meters.push(["Memory", number.format(Math.round(status.memory_mb)), "MB", "spare"]);
  meters.push(...outletMeters(status));
  showHealth(status.health, meters);
  if (status.started_unix_s) meters.push(["Running for", duration(status.now_unix_s - status.started_unix_s), ""]);
  byId("meters").replaceChildren(...meters.map(meter));
}

function showHealth(health, meters) {
  const causes = health ? health.throttled : [];
  byId("throttled").hidden = causes.length === 0;
  byId("throttled").textContent = `This box is throttling, so it detects less often: ${causes.join("; ")}.`;
  if (!health) return;
  const mood = causes.length > 0 ? "hot" : "spare";
  if (health.gpu_percent !== null) meters.push(["GPU", health.gpu_percent.toFixed(0), "%", "spare"]);
  if (health.hottest_c !== null) meters.push(["Hottest", health.hottest_c.toFixed(0), "°C", mood]);
  if (health.total_mw !== null) meters.push(["Power", (health.total_mw / 1000).toFixed(1), "W", "spare"]);
}

function meter([name, value, unit, mood]) {
  const box = document.createElement("div");
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  const small = document.createElement("small");
  dt.textContent = name;
  dd.textContent = value;
  small.textContent = unit;
  dd.append(small);
  box.append(dt, dd);
  box.className = mood || "";
  return box;
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
  return `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")} h`;
}

async function loop() {
  let retry = 500;
  for (;;) {
    const began = performance.now();
    let news = null;
    try {
      news = await ask();
    } catch (error) {
      byId("connection").textContent = "No connection to Vedette: the run has ended, or the network is down. Trying again.";
      byId("connection").hidden = false;
      document.body.dataset.connection = "lost"; // what is on the screen is of then, and looks like it
      await pause(retry);
      retry = Math.min(retry * 2, LONGEST_RETRY_MS);
      continue;
    }
    retry = 500;
    byId("connection").hidden = true;
    delete document.body.dataset.connection;
    await draw(news);
    await pause(Math.max(0, (document.hidden ? HIDDEN_INTERVAL_MS : LEAST_INTERVAL_MS) - (performance.now() - began)));
  }
}

byId("logout").addEventListener("click", async () => {
  await change("POST", "/logout");
  location.assign("/login");
});
for (const button of document.querySelectorAll(".switch button")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.to;
    for (const other of document.querySelectorAll(".switch button")) other.setAttribute("aria-pressed", String(other === button));
    if (button.dataset.to === "events") events.markRead();
    window.scrollTo(0, 0);
  });
}
loop();
