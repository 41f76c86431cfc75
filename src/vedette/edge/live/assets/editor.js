// Lines and zones drawn on the picture with mouse, finger or keyboard. Lives on an overlay of its own above whatever
// shows the picture; works in fractions of the picture, and sends per cent. The server checks, saves and puts in force.
import { change, checked } from "./asking.js";
import { make, numberField, plainButton } from "./elements.js";

const LINE = "#ffbe40";
const ZONE = "#46c8dc";
const SNAP = 400; // of the picture's side: a quarter of a per cent
const SHORTEST = 0.01;

export class Editor {
  constructor(camera, screen, onChange) {
    Object.assign(this, { camera, screen, onChange, items: [], selected: null, mode: null, editing: false, dirty: false, size: [0, 0] });
    this.overlay = make("canvas", "overlay");
    this.overlay.tabIndex = 0;
    this.overlay.setAttribute("aria-label", "Draw lines and zones. Arrow keys move what is selected, Delete removes it.");
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) this.overlay.addEventListener(name, (event) => this.pointer(event));
    for (const name of ["click", "dblclick"]) this.overlay.addEventListener(name, (event) => { event.preventDefault(); event.stopPropagation(); });
    this.overlay.addEventListener("keydown", (event) => this.key(event));
    this.resizing = new ResizeObserver(() => this.draw());
    this.root = make("section", "editor");
    this.root.hidden = true;
    this.said = make("p", "said");
    this.said.setAttribute("role", "status");
  }

  async load() {
    const response = checked(await fetch(this.path()));
    const document = response.ok ? await response.json() : null;
    if (document === null) return; // nothing to draw on
    this.take(document);
    this.root.hidden = false;
    this.show();
  }

  path() { return `/rules/${this.camera.split("/").map(encodeURIComponent).join("/")}`; }

  take(document) {
    this.revision = document.revision;
    this.savedTo = document.saved_to;
    this.items = [
      ...document.lines.map((line) => ({ kind: "line", written: line, points: [line.start, line.end], ...line })),
      ...document.zones.map((zone) => ({ kind: "zone", written: zone, points: zone.polygon, ...zone })),
    ].map(({ kind, name, points, shared, dwell_s: dwell, written }) => ({ kind, name, points, shared, dwell: dwell ?? null, written, moved: false }));
    this.selected = null;
    this.mode = null;
    this.dirty = false;
    this.place();
  }

  // Pixels can be placed once the size of the picture is known.
  setSize(width, height) {
    if (this.size[0] === width && this.size[1] === height) return;
    this.size = [width, height];
    this.place();
    this.draw();
  }

  place() {
    for (const item of this.items) {
      if (item.moved || !this.size[0]) continue;
      item.at = (item.kind === "line" ? [item.written.start, item.written.end] : item.written.polygon)
        .map((point) => point.map((value, axis) => (typeof value === "string" ? parseFloat(value) / 100 : value / this.size[axis])));
    }
  }

  get current() { return this.items[this.selected] ?? null; }

  begin() {
    this.editing = true;
    this.screen.append(this.overlay);
    this.resizing.observe(this.screen);
    this.onChange();
    this.show();
    this.overlay.focus({ preventScroll: true });
  }

  async discard() {
    this.say("");
    await this.load();
    this.end();
  }

  end() {
    this.editing = false;
    this.selected = this.mode = null;
    this.resizing.disconnect();
    this.overlay.remove();
    this.onChange();
    this.show();
  }

  // -- the panel ------------------------------------------------------------------------------------------------------

  show() {
    const heading = make("h3", "", "Lines and zones");
    if (!this.editing) {
      const begin = plainButton(this.items.length ? "Edit" : "Draw", () => this.begin());
      begin.id = "edit-rules";
      const names = this.items.map((item) => make("li", item.kind, make("span", "", item.name)));
      this.root.replaceChildren(
        make("header", "", heading, begin),
        names.length ? make("ul", "rules", ...names) : make("p", "quiet", "Nothing is counted at this camera yet."), this.said,
      );
      return;
    }
    const list = this.items.map((item, index) => {
      const button = plainButton(item.name, () => this.select(index === this.selected ? null : index));
      button.setAttribute("aria-pressed", String(index === this.selected));
      return make("li", item.kind, button);
    });
    const add = (kind, words) => {
      const button = plainButton(words, (event) => this.startNew(kind, event.detail === 0));
      button.setAttribute("aria-pressed", String(this.mode?.kind === kind));
      button.dataset.new = kind;
      return button;
    };
    const save = plainButton("Save", () => this.save());
    save.className = "go";
    save.disabled = !this.dirty || this.saving === true;
    save.id = "save-rules";
    this.root.replaceChildren(
      make("header", "", heading, make("span", "row", plainButton(this.dirty ? "Discard" : "Done", () => this.discard()), save)),
      make("div", "row", add("line", "New line"), add("zone", "New zone")),
      make("p", "quiet hint", this.hint()),
      make("ul", "rules", ...list),
      ...(this.current ? [this.form(this.current)] : []),
      this.said,
    );
    this.draw();
  }

  hint() {
    if (this.mode?.kind === "line") return "Drag from where the line begins to where it ends.";
    if (this.mode?.kind === "zone") return this.mode.points.length < 3 ? "Tap the corners one after the other." : "Tap the first corner again, or press Enter, to close the zone.";
    return this.items.length ? "Drag a point, a line or a zone to move it." : "Begin with a new line or a new zone.";
  }

  form(item) {
    const name = document.createElement("input");
    Object.assign(name, { value: item.name, maxLength: 64, spellcheck: false, id: "rule-name" });
    name.addEventListener("input", () => { item.name = name.value; this.touch(false); });
    const rows = [make("label", "field", "Name", name)];
    if (item.kind === "line") rows.push(plainButton("Turn the arrow", () => { item.at.reverse(); item.moved = true; this.touch(); }));
    else rows.push(numberField("Report a stay after, s", item.dwell, (value) => { item.dwell = value > 0 ? value : null; this.touch(false); }, { min: 0, step: 1 }));
    const shared = document.createElement("input");
    shared.type = "checkbox";
    shared.checked = item.shared;
    shared.addEventListener("change", () => { item.shared = shared.checked; this.touch(false); });
    rows.push(make("label", "check", shared, "At every camera"));
    const points = item.at.map((point, index) => make("li", "", ...[0, 1].map((axis) => numberField(
      `${axis ? "y" : "x"} of point ${index + 1}, %`, +(point[axis] * 100).toFixed(2),
      (value) => { point[axis] = clamp(value / 100); item.moved = true; this.touch(false); }, { min: 0, max: 100, step: 0.5 }, axis ? "y" : "x",
    ))));
    rows.push(make("details", "", make("summary", "", "Coordinates in per cent"), make("ol", "points", ...points)));
    rows.push(plainButton("Delete", () => this.remove()));
    return make("div", "form", ...rows);
  }

  select(index) { this.selected = index; this.mode = null; this.show(); }

  touch(again = true) {
    this.dirty = true;
    this.say("");
    if (again) this.show();
    else {
      this.draw();
      this.root.querySelectorAll(".rules button").forEach((button, index) => { button.textContent = this.items[index].name; });
      const save = this.root.querySelector("#save-rules");
      if (save) save.disabled = false;
    }
  }

  say(text, bad = false, ...more) {
    this.said.replaceChildren(text, ...more);
    this.said.classList.toggle("bad", bad);
  }

  startNew(kind, byKey) {
    this.selected = null;
    if (byKey) { // without a pointer: one in the middle, to be moved with the arrow keys or by its coordinates
      this.addItem(kind, kind === "line" ? [[0.25, 0.5], [0.75, 0.5]] : [[0.35, 0.35], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]]);
      return;
    }
    this.mode = this.mode?.kind === kind ? null : { kind, points: [] };
    this.show();
  }

  addItem(kind, points) {
    const names = new Set(this.items.map((item) => item.name));
    let number = 1;
    while (names.has(`${kind}-${number}`)) number += 1;
    this.items.push({ kind, name: `${kind}-${number}`, at: points, shared: false, dwell: null, moved: true });
    this.mode = null;
    this.selected = this.items.length - 1;
    this.touch();
    const name = this.root.querySelector("#rule-name");
    if (name && matchMedia("(hover: hover)").matches) name.select(); // no keyboard jumps up under a finger
  }

  remove() {
    if (!this.current) return;
    this.items.splice(this.selected, 1);
    this.selected = null;
    this.touch();
  }

  async save() {
    const perCent = (value) => `${+(value * 100).toFixed(2)}%`;
    const document = { revision: this.revision, lines: [], zones: [] };
    for (const item of this.items) {
      const points = item.moved ? item.at.map((point) => point.map(perCent)) : null;
      const { name, shared } = item;
      if (item.kind === "line") document.lines.push({ name, shared, start: points?.[0] ?? item.written.start, end: points?.[1] ?? item.written.end });
      else document.zones.push({ name, shared, polygon: points ?? item.written.polygon, dwell_s: item.dwell });
    }
    this.saving = true;
    this.show();
    try {
      const response = await change("PUT", this.path(), document);
      if (!response.ok) {
        const said = await response.text();
        this.say(`Not saved: ${said}.`, true);
        return;
      }
      this.take(await response.json());
      const link = make("a", "", "Take the pipeline as a file");
      link.href = "/pipeline.yaml";
      if (this.savedTo) this.say(`Saved in ${this.savedTo}, and counted from now on.`);
      else this.say("Counted from now on, until this run ends. ", false, link);
      this.end();
    } catch {
      this.say("Not saved: no connection to Vedette.", true);
    } finally {
      this.saving = false;
      this.show();
    }
  }

  // -- the picture ----------------------------------------------------------------------------------------------------

  // Where the picture lies in the screen: the whole of it, bars where it is narrower.
  frame() {
    const { clientWidth: width, clientHeight: height } = this.screen;
    const [w, h] = this.size[0] ? this.size : [16, 9];
    const scale = Math.min(width / w, height / h);
    return { left: (width - w * scale) / 2, top: (height - h * scale) / 2, width: w * scale, height: h * scale };
  }

  fraction(event) {
    const box = this.overlay.getBoundingClientRect();
    const frame = this.frame();
    const snap = (value) => clamp(Math.round(value * SNAP) / SNAP);
    return [snap((event.clientX - box.left - frame.left) / frame.width), snap((event.clientY - box.top - frame.top) / frame.height)];
  }

  distance([ax, ay], [bx, by]) {
    const frame = this.frame();
    return Math.hypot((ax - bx) * frame.width, (ay - by) * frame.height);
  }

  pointer(event) {
    if (event.button > 0) return;
    event.preventDefault();
    const at = this.fraction(event);
    const reach = event.pointerType === "mouse" ? 11 : 24;
    if (event.type === "pointerdown") {
      this.overlay.setPointerCapture(event.pointerId);
      this.overlay.focus({ preventScroll: true });
      this.press(at, reach);
    } else if (event.type === "pointermove") this.drag(at);
    else this.release(event.type === "pointerup" ? at : null, reach);
  }

  press(at, reach) {
    if (this.mode?.kind === "line") { this.mode.points = [at, at]; this.held = { point: 1, points: this.mode.points }; return; }
    if (this.mode?.kind === "zone") {
      const { points } = this.mode;
      if (points.length >= 3 && this.distance(points[0], at) < reach) { this.addItem("zone", points); return; }
      points.push(at);
      this.held = { point: points.length - 1, points };
      this.show();
      return;
    }
    const order = this.items.map((_, index) => index).sort((a, b) => (b === this.selected) - (a === this.selected));
    for (const index of order) {
      const point = this.items[index].at.findIndex((one) => this.distance(one, at) < reach);
      if (point >= 0) { this.held = { item: this.items[index], point, points: this.items[index].at }; this.select(index); return; }
    }
    const index = order.find((one) => this.touches(this.items[one], at, reach)) ?? null;
    if (index !== null) this.held = { item: this.items[index], from: at, were: this.items[index].at.map((one) => [...one]) };
    this.select(index);
  }

  drag(at) {
    if (!this.held) return;
    const { item, point, points, from, were } = this.held;
    if (from) {
      const room = [0, 1].map((axis) => [Math.min(...were.map((one) => one[axis])), Math.max(...were.map((one) => one[axis]))]);
      const by = [0, 1].map((axis) => Math.min(Math.max(at[axis] - from[axis], -room[axis][0]), 1 - room[axis][1]));
      item.at = were.map((one) => [one[0] + by[0], one[1] + by[1]]);
    } else points[point] = at;
    if (item) { item.moved = true; this.held.changed = true; }
    this.draw();
  }

  release(at) {
    const held = this.held;
    this.held = null;
    if (this.mode?.kind === "line" && this.mode.points.length === 2) {
      const [start, end] = this.mode.points;
      this.mode.points = [];
      if (at && Math.hypot(start[0] - end[0], start[1] - end[1]) >= SHORTEST) this.addItem("line", [start, end]);
      else this.draw();
    } else if (held?.changed) this.touch();
  }

  touches(item, at, reach) {
    if (item.kind === "line") return this.toSegment(at, item.at) < reach;
    let inside = false;
    item.at.forEach(([x1, y1], index) => {
      const [x2, y2] = item.at[(index + 1) % item.at.length];
      if (y1 > at[1] !== y2 > at[1] && at[0] < ((x2 - x1) * (at[1] - y1)) / (y2 - y1) + x1) inside = !inside;
    });
    return inside;
  }

  toSegment(at, [start, end]) {
    const { width, height } = this.frame();
    const [px, py, sx, sy, ex, ey] = [...at, ...start, ...end].map((value, index) => value * (index % 2 ? height : width));
    const along = Math.max(0, Math.min(1, ((px - sx) * (ex - sx) + (py - sy) * (ey - sy)) / ((ex - sx) ** 2 + (ey - sy) ** 2 || 1)));
    return Math.hypot(px - sx - along * (ex - sx), py - sy - along * (ey - sy));
  }

  key(event) {
    const step = event.shiftKey ? 0.05 : 0.005;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (event.key === "Escape" && (this.mode || this.current)) { this.select(null); event.stopPropagation(); }
    else if (event.key === "Enter" && this.mode?.kind === "zone" && this.mode.points.length >= 3) this.addItem("zone", this.mode.points);
    else if (["Delete", "Backspace"].includes(event.key) && this.current) this.remove();
    else if (by && this.current) {
      this.current.at = this.current.at.map((one) => [clamp(one[0] + by[0]), clamp(one[1] + by[1])]);
      this.current.moved = true;
      this.touch(false);
    } else return;
    event.preventDefault();
  }

  draw() {
    if (!this.editing || !this.size[0]) return;
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.screen;
    this.overlay.width = Math.round(width * ratio);
    this.overlay.height = Math.round(height * ratio);
    const context = this.overlay.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const frame = this.frame();
    const place = ([x, y]) => [frame.left + x * frame.width, frame.top + y * frame.height];
    this.items.forEach((item, index) => trace(context, item, item.at.map(place), index === this.selected));
    if (this.mode?.points.length) trace(context, { kind: this.mode.kind, name: "", open: true }, this.mode.points.map(place), true);
  }
}

const clamp = (value) => Math.min(Math.max(Number.isFinite(value) ? value : 0, 0), 1);

function trace(context, item, points, selected) {
  const colour = item.kind === "line" ? LINE : ZONE;
  const path = () => {
    context.beginPath();
    points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (item.kind === "zone" && !item.open) context.closePath();
  };
  if (item.kind === "zone") { path(); context.fillStyle = `${colour}${selected ? "4d" : "26"}`; context.fill(); }
  for (const [style, wide] of [["#000000b0", selected ? 6 : 4.5], [colour, selected ? 3 : 2]]) {
    path();
    if (item.kind === "line") arrow(context, points);
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.lineJoin = context.lineCap = "round";
    context.stroke();
  }
  for (const [x, y] of points) {
    context.beginPath();
    context.arc(x, y, selected ? 7 : 5, 0, 2 * Math.PI);
    context.fillStyle = selected ? "#ffffff" : colour;
    context.fill();
    context.strokeStyle = "#000000b0";
    context.lineWidth = 2;
    context.stroke();
  }
  if (!item.name) return;
  const [x, y] = points.reduce((best, one) => (one[1] < best[1] ? one : best));
  context.font = "600 12px system-ui, sans-serif";
  const wide = context.measureText(item.name).width + 12;
  const left = Math.min(Math.max(x + 10, 2), Math.max(context.canvas.clientWidth - wide - 2, 2));
  context.fillStyle = "#0a0e13d8";
  context.fillRect(left, Math.max(y - 24, 2), wide, 19);
  context.fillStyle = colour;
  context.textBaseline = "middle";
  context.fillText(item.name, left + 6, Math.max(y - 24, 2) + 10);
}

// From the middle of a line to its side b: that way is a_to_b.
function arrow(context, [[x1, y1], [x2, y2]]) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [ax, ay] = [-(y2 - y1) / length, (x2 - x1) / length];
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const [tx, ty] = [mx + ax * 22, my + ay * 22];
  context.moveTo(mx, my);
  context.lineTo(tx, ty);
  for (const side of [-1, 1]) {
    context.moveTo(tx, ty);
    context.lineTo(tx - ax * 8 + side * ay * 7, ty - ay * 8 - side * ax * 7);
  }
}
