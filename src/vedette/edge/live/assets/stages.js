// The work before the watching: a row of steps, and the card of the one that runs (or that was opened), with its
// progress, curves and pictures.

const COLOURS = ["#f5b544", "#62b0f5", "#4ecb8f", "#b49cf5", "#ff8f6b"];
const MARKS = { waiting: "·", running: "▶", done: "✓", failed: "✕" };

const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

export class Stages {
  constructor(root) {
    this.root = root;
    this.steps = make("ol", "steps");
    this.card = make("article", "stage");
    this.root.append(this.steps, this.card);
    this.stages = [];
    this.chosen = null; // a title, "" for none, null while the page chooses
    this.pictures = new Map();
    window.addEventListener("resize", () => this.draw());
    setInterval(() => this.tick(), 1000);
  }

  get isEmpty() { return this.stages.length === 0; }

  update(stages, hasCameras) { // stages is null when nothing has changed but, perhaps, the cameras
    if (!stages && hasCameras === this.hasCameras) return;
    if (stages) {
      this.stages = stages;
      this.received = performance.now();
    }
    this.hasCameras = hasCameras;
    this.draw();
  }

  current() {
    if (this.chosen !== null) return this.stages.find((stage) => stage.title === this.chosen);
    const running = this.stages.find((stage) => stage.state === "running");
    if (this.hasCameras) return undefined; // the wall matters more now
    return running ?? this.stages.findLast((stage) => stage.state !== "waiting");
  }

  draw() {
    const current = this.current();
    this.stages.forEach((stage, index) => this.drawStep(this.button(index), stage, stage === current));
    while (this.steps.children.length > this.stages.length) this.steps.lastChild.remove();
    this.bringIntoView(this.stages.findIndex((stage) => stage.state === "running"));
    this.card.hidden = !current;
    if (!current) return;
    this.card.dataset.state = current.state;
    this.clock = make("span", "clock");
    const fill = document.createElement("i");
    fill.style.transform = `scaleX(${current.progress ?? 0})`;
    const track = make("div", "track", fill);
    track.setAttribute("role", "progressbar");
    track.setAttribute("aria-valuenow", String(Math.round((current.progress ?? 0) * 100)));
    track.setAttribute("aria-label", current.title);
    track.hidden = current.progress === null;
    const charts = make("div", "charts", ...byChart(current.series).map(([name, series]) => chart(name, series)));
    charts.hidden = current.series.length === 0;
    const pictures = make("div", "stage-pictures", ...current.pictures.map((picture) => this.picture(picture)));
    pictures.hidden = current.pictures.length === 0;
    this.card.replaceChildren(
      make("div", "head", make("h2", "", current.title), this.clock),
      make("p", "note", current.note), track, charts, pictures,
      make("ul", "stage-lines", ...current.lines.map((line) => make("li", "", line))),
    );
    this.tick();
    for (const canvas of charts.querySelectorAll("canvas")) plot(canvas, canvas.series);
  }

  button(index) { // made once and kept: a button replaced between press and release is never clicked
    if (!this.steps.children[index]) {
      const button = make("button", "", make("span", "mark"), make("span", "title"), make("small"));
      button.type = "button";
      button.addEventListener("click", () => {
        const stage = this.stages[index];
        const isOpen = stage === this.current();
        this.chosen = isOpen ? "" : stage.state === "running" && !this.hasCameras ? null : stage.title;
        this.draw();
      });
      this.steps.append(make("li", "", button));
    }
    return this.steps.children[index].firstChild;
  }

  bringIntoView(index) { // where the steps do not fit beside each other, once for each that begins
    if (index < 0 || index === this.inView) return;
    this.inView = index;
    const step = this.steps.children[index];
    this.steps.scrollLeft = step.offsetLeft - (this.steps.clientWidth - step.clientWidth) / 2;
  }

  drawStep(button, stage, isOpen) {
    const [mark, title, note] = button.children;
    mark.textContent = MARKS[stage.state];
    title.textContent = stage.title;
    note.textContent = stage.state === "running" && stage.progress !== null ? `${Math.round(stage.progress * 100)} %`
      : stage.state === "done" && stage.spent_s !== null ? duration(stage.spent_s) : "";
    button.dataset.state = stage.state;
    button.setAttribute("aria-expanded", String(isOpen));
  }

  picture({ caption, src }) { // the same <img> while the content is the same, so that nothing flickers
    let image = this.pictures.get(src);
    if (!image) {
      image = document.createElement("img");
      image.src = src;
      image.alt = caption;
      this.pictures.set(src, image);
      if (this.pictures.size > 64) this.pictures.delete(this.pictures.keys().next().value);
    }
    return make("figure", "", image, make("figcaption", "", caption));
  }

  tick() {
    const current = this.current();
    if (!current || !this.clock || current.spent_s === null) return;
    const since = current.state === "running" ? (performance.now() - this.received) / 1000 : 0;
    const parts = [duration(current.spent_s + since)];
    if (current.progress !== null && current.state === "running") parts.unshift(`${Math.round(current.progress * 100)} %`);
    if (current.left_s !== null) parts.push(`${duration(Math.max(0, current.left_s - since))} left`);
    this.clock.textContent = parts.join(" · ");
  }
}

function duration(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

function byChart(series) {
  const charts = new Map();
  for (const one of series) if (one.points.length) charts.set(one.chart, [...(charts.get(one.chart) ?? []), one]);
  return [...charts];
}

function chart(name, series) {
  const caption = make("figcaption", "", ...(series.length > 1 || series[0].name !== name ? [name] : []));
  series.forEach((one, index) => {
    const key = document.createElement("i");
    key.style.background = COLOURS[index % COLOURS.length];
    caption.append(make("span", "", key, `${one.name} `, make("b", "", format(one.points.at(-1)[1]))));
  });
  const canvas = document.createElement("canvas");
  canvas.series = series;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Curve of ${name}`);
  const figure = make("figure", "chart", caption, canvas);
  figure.dataset.chart = name;
  return figure;
}

function format(value) {
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(size >= 1 ? 2 : 3);
}

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((f) => f >= raw);
  const all = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) all.push(index * step);
  return all;
}

function plot(canvas, series) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const all = series.flatMap((one) => one.points);
  const xs = all.map((p) => p[0]);
  const ys = all.map((p) => p[1]);
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [Math.min(0, ...ys), Math.max(...ys)];
  if (x1 === x0) x1 = x0 + 1;
  if (y1 === y0) y1 = y0 + 1;
  const area = { left: 44, right: width - 8, top: 8, bottom: height - 20 };
  const X = (x) => area.left + ((x - x0) / (x1 - x0)) * (area.right - area.left);
  const Y = (y) => area.bottom - ((y - y0) / (y1 - y0)) * (area.bottom - area.top);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = "#8fa0b3";
  context.strokeStyle = "#243040";
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const y of ticks(y0, y1, 5)) {
    context.beginPath();
    context.moveTo(area.left, Math.round(Y(y)) + 0.5);
    context.lineTo(area.right, Math.round(Y(y)) + 0.5);
    context.stroke();
    context.fillText(format(y).replace(/\.?0+$/, "") || "0", area.left - 6, Y(y));
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const x of ticks(x0, x1, 5)) if (X(x) < area.right - 8) context.fillText(String(+x.toPrecision(6)), X(x), area.bottom + 5);
  series.forEach((one, index) => {
    context.strokeStyle = context.fillStyle = COLOURS[index % COLOURS.length];
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    one.points.forEach(([x, y], at) => (at ? context.lineTo(X(x), Y(y)) : context.moveTo(X(x), Y(y))));
    context.stroke();
    const [x, y] = one.points.at(-1);
    context.beginPath();
    context.arc(X(x), Y(y), 3, 0, 2 * Math.PI);
    context.fill();
  });
}
