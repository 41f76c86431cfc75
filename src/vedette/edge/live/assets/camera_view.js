// One camera closely: its tile large, beside it a panel to draw on it and to see its counts over time. The address holds
// which (#camera=NAME), so that a page opened again, or Back, shows the same.
import { Editor } from "./editor.js";
import { make } from "./elements.js";
import { Heat, History, Timing } from "./insight.js";

export class CameraView {
  constructor(main, wall, panel) {
    Object.assign(this, { main, wall, panel, name: null, editor: null, parts: [new History(), new Heat(), new Timing()] });
    window.addEventListener("hashchange", () => this.follow());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.name && !event.target.closest("input") && !this.editor?.editing) this.close();
    });
  }

  clear() { this.leave(); }

  close() { location.hash = ""; }

  // While it is drawn on, the lines and zones in force are not shown as well.
  shown(cameras) {
    if (!this.editor?.editing) return cameras;
    return cameras.map((camera) => (camera.name === this.name ? { ...camera, lines: [], zones: [] } : camera));
  }

  update(cameras) {
    this.cameras = cameras;
    for (const [name, tile] of this.wall.tiles) this.offer(name, tile.element);
    this.follow();
    const camera = cameras.find((one) => one.name === this.name);
    if (!camera) return;
    this.editor.setSize(camera.width_px, camera.height_px);
    for (const part of this.parts) part.update(camera, this.screen);
  }

  offer(name, element) {
    const bar = element.querySelector(".bar");
    if (bar.querySelector(".closely")) return;
    const link = make("a", "closely", "⤢");
    link.href = `#camera=${encodeURIComponent(name)}`;
    link.title = "Look closely: draw lines and zones, counts over time";
    link.setAttribute("aria-label", `Look closely at ${name}`);
    bar.append(link);
  }

  follow() {
    const wanted = location.hash.startsWith("#camera=") ? decodeURIComponent(location.hash.slice(8)) : null;
    const name = this.wall.tiles.has(wanted) ? wanted : null;
    if (name !== this.name || (name && this.screen !== this.wall.tiles.get(name).screen)) {
      this.leave();
      if (name) this.enter(name);
    }
    for (const [one, tile] of this.wall.tiles) tile.element.hidden = this.name !== null && one !== this.name;
  }

  enter(name) {
    this.name = name;
    this.screen = this.wall.tiles.get(name).screen;
    this.main.dataset.focus = document.body.dataset.focus = "camera";
    this.editor = new Editor(name, this.screen, () => this.wall.update(this.shown(this.cameras)));
    const back = make("a", "back", "← All cameras");
    back.href = "#";
    this.panel.replaceChildren(make("header", "", back, make("h2", "", name)), this.editor.root, ...this.parts.map((part) => part.root));
    this.panel.hidden = false;
    this.editor.load();
    this.wall.arrange();
    back.focus({ preventScroll: true }); // what was pressed is not there any more
    window.scrollTo(0, 0);
  }

  leave() {
    if (this.name === null) return;
    this.editor.end();
    for (const part of this.parts) part.leave();
    const tile = this.wall.tiles.get(this.name);
    queueMicrotask(() => tile?.element.querySelector(".closely")?.focus({ preventScroll: true }));
    this.name = this.editor = this.screen = null;
    delete this.main.dataset.focus;
    delete document.body.dataset.focus;
    this.panel.hidden = true;
    this.panel.replaceChildren();
    this.wall.arrange();
  }
}
