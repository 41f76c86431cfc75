// What lies behind one camera's picture: counts over time, where objects were, and which stage takes the time.
import { checked } from "./asking.js";
import { make } from "./elements.js";

const COLOURS = ["#f5b544", "#62b0f5", "#4ecb8f", "#b49cf5", "#ff8f6b", "#d6dd6a"];
const EVERY_MS = 15000;
const HEAT = [[10, 20, 60, 0], [52, 90, 200, 110], [70, 190, 190, 150], [245, 200, 70, 185], [255, 90, 60, 215]];
const STAGES = { decoding: "Decoding", waiting: "Waiting", inference: "Inference", tracking: "Tracking", events: "Events" };
const number = new Intl.NumberFormat("en");

async function asked(path) {
  try {
    const response = checked(await fetch(path));
    return response.ok ? await response.json() : null;
  } catch {
    return null; // the page says itself that it has no connection
  }
}

const pathOf = (kind, camera, hours) => `/${kind}/${camera.split("/").map(encodeURIComponent).join("/")}?hours=${hours}`;

function choice(label, options, take) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", label);
  for (const [value, text] of options) select.append(new Option(text, value));
  select.addEventListener("change", () => take(Number(select.value)));
  return select;
}

class Part {
  constructor(title) {
    this.head = make("header", "", make("h3", "", title));
    this.root = make("section", "insight", this.head);
    this.root.hidden = true;
    this.askedAt = -Infinity;
    this.name = null;
  }

  update(camera, screen) {
    if (camera.name !== this.name) {
      this.name = camera.name;
      this.askedAt = -Infinity;
    }
    this.screen = screen;
    this.size = [camera.width_px, camera.height_px];
    if (document.hidden || performance.now() - this.askedAt < (this.everyMs ?? EVERY_MS)) return;
    this.refresh();
  }

  async refresh() {
    this.askedAt = performance.now();
    const name = this.name;
    const document = await this.ask();
    if (name === this.name) this.take(document);
  }

  leave() { this.name = null; this.root.hidden = true; }
}

export class History extends Part {
  constructor() {
    super("Counts over time");
    this.hours = 24;
    this.head.append(choice("How far back", [[24, "24 hours"], [72, "3 days"], [168, "7 days"], [744, "31 days"]], (hours) => { this.hours = hours; this.refresh(); }));
    this.canvas = make("canvas", "bars");
    this.canvas.setAttribute("role", "img");
    this.legend = make("ul", "legend");
    this.note = make("p", "quiet");
    this.root.append(this.canvas, this.legend, this.note);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { this.pointed = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  ask() { return asked(pathOf("history", this.name, this.hours)); }

  take(document) {
    this.document = document;
    this.root.hidden = document === null;
    if (document) this.draw();
  }

  point(event) {
    const { left, width } = this.canvas.getBoundingClientRect();
    const count = this.document?.begins.length ?? 0;
    this.pointed = Math.min(Math.max(Math.floor(((event.clientX - left - 34) / (width - 36)) * count), 0), count - 1);
    this.draw();
  }

  draw() {
    const { document: told, canvas } = this;
    const width = canvas.clientWidth;
    if (!told || !width) return;
    const at = this.pointed ?? null;
    this.legend.replaceChildren(...told.series.map((one, index) => {
      const key = make("i");
      key.style.background = COLOURS[index % COLOURS.length];
      const count = at === null ? one.counts.reduce((sum, value) => sum + value, 0) : one.counts[at];
      return make("li", "", key, one.name, make("b", "", number.format(count)));
    }));
    const begin = at === null ? null : new Date(told.begins[at]);
    const when = begin && (told.by === "day" ? begin.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" })
      : `${begin.toLocaleDateString([], { weekday: "short" })} ${begin.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })}`);
    this.note.textContent = when ?? (told.series.length ? (told.kept ? "" : "Since this run began; counts are not kept.") : "Nothing was counted in this time.");
    const totals = told.begins.map((_, index) => told.series.reduce((sum, one) => sum + one.counts[index], 0));
    canvas.setAttribute("aria-label", `Counts by ${told.by}; ${number.format(totals.reduce((a, b) => a + b, 0))} in all`);
    drawBars(canvas, told, Math.max(...totals, 1), at);
  }
}

function drawBars(canvas, told, most, at) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const area = { left: 34, right: width - 2, top: 6, bottom: height - 18 };
  const magnitude = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 5, 10].map((factor) => factor * magnitude).find((value) => value >= most);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    const y = Math.round(area.bottom - share * (area.bottom - area.top)) + 0.5;
    context.strokeStyle = "#243040";
    context.beginPath();
    context.moveTo(area.left, y);
    context.lineTo(area.right, y);
    context.stroke();
    context.fillStyle = "#8fa0b3";
    if (Number.isInteger(top * share)) context.fillText(short(top * share), area.left - 5, y);
  }
  const wide = (area.right - area.left) / told.begins.length;
  context.textAlign = "center";
  context.textBaseline = "top";
  const every = Math.ceil(told.begins.length / 6);
  told.begins.forEach((begin, index) => {
    const x = area.left + index * wide;
    let y = area.bottom;
    context.globalAlpha = at === null || at === index ? 1 : 0.45;
    told.series.forEach((one, place) => {
      const tall = (one.counts[index] / top) * (area.bottom - area.top);
      context.fillStyle = COLOURS[place % COLOURS.length];
      context.fillRect(x + wide * 0.1, y - tall, wide * 0.8, tall);
      y -= tall;
    });
    context.globalAlpha = 1;
    context.fillStyle = "#8fa0b3";
    const moment = new Date(begin);
    const text = told.by === "day" ? `${moment.getDate()}.${moment.getMonth() + 1}.` : String(moment.getHours()).padStart(2, "0");
    if ((told.begins.length - 1 - index) % every === 0) context.fillText(text, x + wide / 2, area.bottom + 5);
  });
}

const short = (value) => (value >= 10000 ? `${value / 1000}k` : String(value));

export class Heat extends Part {
  constructor() {
    super("Where objects were");
    this.hours = 1;
    this.box = document.createElement("input");
    this.box.type = "checkbox";
    this.box.addEventListener("change", () => this.draw());
    this.hoursBox = choice("Over how long", [[1, "this hour"], [6, "6 hours"], [24, "24 hours"]], (hours) => { this.hours = hours; this.refresh(); });
    this.head.append(this.hoursBox);
    this.note = make("p", "quiet");
    this.root.append(make("label", "check", this.box, "Show on the picture"), this.note);
    this.canvas = make("canvas", "heat");
    this.canvas.setAttribute("aria-hidden", "true");
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  ask() { return asked(pathOf("heat", this.name, this.hours)); }

  take(document) {
    this.document = document;
    this.root.hidden = document === null;
    this.draw();
  }

  leave() {
    super.leave();
    this.canvas.remove();
  }

  draw() {
    if (!this.document || !this.box.checked || !this.name) { this.canvas.remove(); return; }
    if (this.canvas.parentElement !== this.screen) this.screen.append(this.canvas);
    const { rows, columns, seconds } = this.document;
    const most = Math.max(...seconds);
    this.note.textContent = most > 0 ? `Warmest: ${time(most)} of objects in one spot.` : "No object was seen in this time.";
    const small = new OffscreenCanvas(columns, rows);
    const image = small.getContext("2d").createImageData(columns, rows);
    seconds.forEach((value, index) => image.data.set(colour(most > 0 ? Math.sqrt(value / most) : 0), index * 4));
    small.getContext("2d").putImageData(image, 0, 0);
    const { clientWidth: width, clientHeight: height } = this.screen;
    this.canvas.width = width;
    this.canvas.height = height;
    const [w, h] = this.size[0] ? this.size : [16, 9];
    const scale = Math.min(width / w, height / h);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(small, (width - w * scale) / 2, (height - h * scale) / 2, w * scale, h * scale);
  }
}

function colour(share) {
  const at = share * (HEAT.length - 1);
  const low = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[low].map((value, channel) => Math.round(value + (at - low) * (HEAT[low + 1][channel] - value)));
}

const time = (seconds) => (seconds < 90 ? `${seconds.toFixed(0)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`);

export class Timing extends Part {
  constructor() {
    super("Where the time goes");
    this.everyMs = 3000;
    this.rows = make("dl", "stages-ms");
    this.verdict = make("p", "verdict");
    this.root.append(this.verdict, this.rows, make("p", "quiet", "A frame of any camera, on average; in brackets, 95 of 100 take less. Decoding is processor time."));
  }

  ask() { return asked("/timing.json"); }

  take(document) {
    this.root.hidden = document === null || !document.stages.some((stage) => stage.mean_ms !== null);
    if (this.root.hidden) return;
    this.verdict.textContent = document.bottleneck;
    this.verdict.classList.toggle("warm", document.bottleneck.includes("is the bottleneck"));
    const most = Math.max(...document.stages.map((stage) => stage.mean_ms ?? 0), 0.001);
    const busy = { ...document.busy, tracking: document.busy.results };
    this.rows.replaceChildren(...document.stages.filter((stage) => stage.mean_ms !== null).map((stage) => {
      const bar = make("i");
      bar.style.width = `${Math.max((100 * stage.mean_ms) / most, 0.5)}%`;
      const share = busy[stage.name] === undefined ? "" : ` · busy ${Math.round(100 * busy[stage.name])} %`;
      const p95 = stage.p95_ms === null ? "" : ` (${milliseconds(stage.p95_ms)})`;
      return make("div", "", make("dt", "", STAGES[stage.name]), make("dd", "", make("span", "meter", bar), make("span", "ms", `${milliseconds(stage.mean_ms)} ms${p95}${share}`)));
    }));
  }
}

const milliseconds = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2));
