// The event list, newest first. Every text goes in as text, never as markup: names come from files.

const MAX_ROWS = 200;
const KINDS = {
  "vedette.line_crossed.v1": ["line", "↦", (d) => `${d.class} crossed ${d.line}`, (d) => (d.direction === "a_to_b" ? "a → b" : "b → a")],
  "vedette.zone_entered.v1": ["enter", "↘", (d) => `${d.class} entered ${d.zone}`, () => ""],
  "vedette.zone_exited.v1": ["exit", "↗", (d) => `${d.class} left ${d.zone}`, (d) => (d.dwell_s == null ? "" : `after ${d.dwell_s.toFixed(1)} s`)],
  "vedette.zone_dwelled.v1": ["dwell", "◷", (d) => `${d.class} stays in ${d.zone}`, (d) => (d.dwell_s == null ? "" : `for ${d.dwell_s.toFixed(1)} s`)],
};

export class Events {
  constructor(list, empty, badge) {
    Object.assign(this, { list, empty, badge, unread: 0, first: true });
  }

  clear() {
    this.list.replaceChildren();
    this.empty.hidden = false;
    this.first = true;
    this.markRead();
  }

  markRead() {
    this.unread = 0;
    this.badge.hidden = true;
  }

  add(events) {
    if (!events.length) { this.first = false; return; }
    this.empty.hidden = true;
    const flash = !this.first && this.list.offsetParent !== null;
    const rows = events.slice(-MAX_ROWS).reverse().map((event) => row(event, flash));
    this.list.prepend(...rows);
    while (this.list.children.length > MAX_ROWS) this.list.lastChild.remove();
    if (document.body.dataset.view !== "events") this.unread += events.length;
    this.badge.textContent = this.unread > 99 ? "99+" : String(this.unread);
    this.badge.hidden = this.unread === 0;
    this.first = false;
  }
}

function row(event, isNew) {
  const [kind, glyph, what, detail] = KINDS[event.type] ?? ["", "•", () => event.type, () => ""];
  const item = document.createElement("li");
  item.className = `${kind}${isNew ? " new" : ""}`;
  const time = cell("time", "", clockTime(event.data.wall_time));
  time.dateTime = event.data.wall_time;
  time.title = event.data.wall_time;
  const where = [event.data.camera, detail(event.data), `track ${event.data.track_id}`].filter(Boolean).join(" · ");
  item.append(cell("span", "glyph", glyph), cell("span", "what", what(event.data)), time, cell("span", "where", where));
  if (event.data.clip) item.lastChild.append(" · ", clipLink(event.data.clip));
  return item;
}

function clipLink(name) {
  const link = cell("a", "clip", "clip");
  link.href = `/clips/${name.split("/").map(encodeURIComponent).join("/")}`;
  link.target = "_blank";
  link.rel = "noopener";
  link.title = "Play the seconds before and after";
  return link;
}

function cell(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function clockTime(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleTimeString("en-GB");
}
