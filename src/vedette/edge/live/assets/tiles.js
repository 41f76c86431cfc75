// The wall: a tile for each camera. It plays the camera's own video; where the browser cannot, the picture comes as a
// clean JPEG. Boxes, lines and zones are drawn over it as vectors at the screen's own resolution, so that they stay sharp
// on a small tile and on a phone; over video they are drawn anew for each of its frames, as they were at that time.
import { change } from "./asking.js";
import { Boxes } from "./boxes.js";
import { drawBox, drawLine, drawZone } from "./drawing.js";
import { Player } from "./player.js";
import { VideoFeed } from "./video.js";

const NOTICES = { opening: "Opening the camera", running: "Waiting for the first picture", ended: "The video has ended", failed: "Camera failed" };
const STATES = { opening: "opening", running: "live", offline: "offline", ended: "ended", failed: "failed" };
const GATES = { off: "", learning: "learning what stillness is", open: "", shut: "still" };
const MAX_CHIPS = 4;
const MAX_CHIPS_CLOSELY = 16;
const LEAST_TILE_PX = 300;
const ARRANGE_MS = 1000; // what stands above the wall may have become more
const PHONE_PX = 860; // as in style.css
const STALE_MS = 3000; // video that stands still for so long is no longer preferred to pictures

const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

export class Wall {
  constructor(root) {
    this.root = root;
    this.tiles = new Map();
    this.onScreen = new Set();
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const name = target.dataset.camera;
        if (isIntersecting) this.onScreen.add(name);
        else this.onScreen.delete(name);
      }
      this.watchVideo();
    });
    this.hasVideo = false;
    this.publishing = () => null;
    window.addEventListener("resize", () => this.arrange());
    this.video = new VideoFeed((name) => this.tiles.get(name));
  }

  // Whose pictures are needed: those on the screen that play no video.
  visible() { return [...this.onScreen].filter((name) => this.tiles.has(name) && !this.tiles.get(name).isPlaying()); }

  watchVideo() {
    this.video.watch([...this.onScreen].filter((name) => this.hasVideo && this.tiles.get(name)?.maySendVideo()));
  }

  clear() {
    this.observer.disconnect();
    for (const tile of this.tiles.values()) tile.player.close();
    this.onScreen.clear();
    this.tiles.clear();
    this.root.replaceChildren();
  }

  update(cameras) {
    const names = new Set(cameras.map((camera) => camera.name));
    for (const [name, tile] of this.tiles) {
      if (names.has(name)) continue;
      this.observer.unobserve(tile.element);
      this.onScreen.delete(name);
      tile.player.close();
      tile.element.remove();
      this.tiles.delete(name);
    }
    for (const camera of cameras) {
      let tile = this.tiles.get(camera.name);
      if (!tile) {
        tile = new Tile(camera.name, () => this.video.forget(camera.name));
        this.tiles.set(camera.name, tile);
        this.root.append(tile.element);
        this.observer.observe(tile.element);
      }
      tile.update(camera);
      tile.showPublishing(this.publishing(camera.name));
    }
    this.watchVideo();
    this.root.hidden = cameras.length === 0;
    if (this.arranged !== cameras.length || performance.now() - this.arrangedAt > ARRANGE_MS) this.arrange();
  }

  // As many columns as make the tiles largest while all of them are on the screen; where they would be too small, the
  // style sheet's own columns, and one scrolls.
  arrange() {
    const shown = [...this.tiles.values()];
    [this.arranged, this.arrangedAt] = [shown.length, performance.now()];
    if (!shown.length || !this.root.clientWidth) return;
    const style = getComputedStyle(this.root);
    const gap = parseFloat(style.columnGap);
    const padding = parseFloat(style.paddingLeft);
    const width = this.root.clientWidth - 2 * padding;
    const height = window.innerHeight - (this.root.getBoundingClientRect().top + window.scrollY) - 2 * padding;
    const around = Math.max(...shown.map((tile) => tile.element.offsetHeight - tile.screen.offsetHeight));
    let [columns, best] = [0, 0];
    for (let count = 1; count <= shown.length; count += 1) {
      const rows = Math.ceil(shown.length / count);
      const wide = Math.min((width - gap * (count - 1)) / count, (((height - gap * (rows - 1)) / rows - around) * 16) / 9);
      if (wide > best) [columns, best] = [count, wide];
    }
    const fits = best >= LEAST_TILE_PX && !this.root.closest("main[data-focus]") && window.innerWidth > PHONE_PX;
    const wanted = fits ? `repeat(${columns}, minmax(0, ${Math.floor(best)}px))` : "";
    if (this.columns === wanted) return;
    this.columns = wanted;
    this.root.style.gridTemplateColumns = wanted;
  }

  async show(picture) { await this.tiles.get(picture.camera)?.show(picture); }
}

class Tile {
  constructor(name, askAnew) {
    this.askAnew = askAnew; // for the video from its start
    this.boxes = new Boxes();
    this.framedAt = -Infinity; // when the last frame of video was shown
    this.video = document.createElement("video");
    this.player = new Player(this.video, (time) => this.showFrame(time));
    this.camera = null;
    this.picture = null;
    this.bitmap = null;
    this.state = make("span", "state");
    this.published = make("span", "published");
    this.published.hidden = true;
    this.canvas = document.createElement("canvas");
    this.notice = make("div", "notice");
    this.noticed = "";
    this.retry = make("button", "retry", "try now");
    this.retry.type = "button";
    this.retry.title = "Open the camera again at once, with its password read anew";
    this.retry.onclick = (event) => this.tryNow(event);
    this.counts = make("ul", "counts");
    this.screen = make("a", "screen", this.video, this.canvas, this.notice, this.counts);
    this.screen.href = `/snapshot/${name.split("/").map(encodeURIComponent).join("/")}.jpg`;
    this.screen.target = "_blank";
    this.screen.rel = "noopener";
    this.screen.title = "Open the annotated picture";
    this.figures = make("dl", "figures");
    const heading = make("h3", "", name);
    heading.title = name;
    this.element = make("article", "tile", make("div", "bar", make("span", "dot"), heading, this.state, this.published), this.screen, this.figures);
    this.element.dataset.camera = name;
    this.shownCounts = new Map();
    new ResizeObserver(() => this.draw()).observe(this.screen);
  }

  update(camera) {
    const geometry = JSON.stringify([camera.lines, camera.zones]);
    const redraw = geometry !== this.geometry;
    this.geometry = geometry;
    this.camera = camera;
    this.element.dataset.state = camera.state;
    const size = camera.width_px && camera.state !== "failed" ? ` · ${camera.width_px}×${camera.height_px}` : "";
    const still = camera.state === "running" && GATES[camera.gate.state] ? ` · ${GATES[camera.gate.state]}` : "";
    this.state.textContent = camera.state === "offline" ? offlineSince(camera) : STATES[camera.state] + size + still;
    this.state.title = camera.gate.note;
    this.canvas.setAttribute("aria-label", `Picture of ${camera.name}`);
    this.showNotice();
    if (!this.isPlaying() || !this.shownResult) this.showCounts(Object.entries(camera.counts));
    const rate = (value) => (value >= 99.5 ? value.toFixed(0) : value.toFixed(1));
    this.figures.replaceChildren(
      figure(camera.gate.state === "shut" ? "fps decoded" : "fps", rate(camera.fps)),
      figure("detections/s", rate(camera.detections_per_s)),
      figure("dropped", String(camera.drops), camera.drops > 0 && "bad"),
      ...(camera.gate.state === "off" ? [] : [figure("not decoded", share(camera.gate.gated, camera.frames))]),
    );
    if (redraw) this.draw();
  }

  showPublishing(told) {
    this.published.hidden = told === null;
    if (told) [this.published.textContent, this.published.dataset.mood, this.published.title] = told;
  }

  showNotice() {
    const { name, state } = this.camera;
    const error = this.camera.error?.replace(`camera '${name}': `, ""); // the tile says whose it is
    const needed = state === "failed" || state === "offline" || state === "ended" || (!this.bitmap && !this.isPlaying());
    this.notice.hidden = !needed;
    const title = state === "offline" ? `${offlineSince(this.camera, true)}, trying again` : NOTICES[state];
    const told = [needed, state, title, error].join("\n");
    if (told === this.noticed) return; // a button that is put anew cannot be pressed
    this.noticed = told;
    if (!needed) return;
    const texts = [make("b", "", title), ...(error ? [make("span", "", error)] : [])];
    if (state === "offline" && this.retry.parentNode === this.notice) {
      while (this.notice.firstChild !== this.retry) this.notice.firstChild.remove();
      this.retry.before(...texts);
    } else {
      this.notice.replaceChildren(...texts, ...(state === "offline" ? [this.retry] : []));
    }
  }

  // The tile around the button is a link to the picture.
  async tryNow(event) {
    event.preventDefault();
    event.stopPropagation();
    this.retry.disabled = true;
    this.retry.textContent = "trying …";
    try {
      const name = this.camera.name.split("/").map(encodeURIComponent).join("/");
      const response = await change("POST", `/retry/${name}`);
      this.retry.title = response.ok ? this.retry.title : await response.text();
      this.retry.textContent = response.ok ? "trying …" : "cannot be tried";
    } catch {
      this.retry.textContent = "no answer";
    }
    setTimeout(() => {
      this.retry.disabled = false;
      this.retry.textContent = "try now";
    }, 3000);
  }

  showCounts(entries) {
    const most = this.element.closest("[data-focus]") ? MAX_CHIPS_CLOSELY : MAX_CHIPS;
    const shown = entries.length > most ? entries.slice(0, most - 1) : entries;
    const chips = shown.map(([label, count]) => {
      const chip = make("li", "", label, make("b", "", String(count)));
      if (this.shownCounts.has(label) && this.shownCounts.get(label) !== count) chip.className = "changed";
      return chip;
    });
    if (shown.length < entries.length) chips.push(make("li", "", `+${entries.length - shown.length}`));
    this.counts.replaceChildren(...chips);
    this.counts.hidden = this.camera.state === "failed" || entries.length === 0;
    this.shownCounts = new Map(entries);
  }

  async show(picture) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(picture.jpeg);
    } catch {
      return; // a picture cut short; the next one comes
    }
    this.bitmap?.close();
    this.bitmap = bitmap;
    this.picture = picture;
    this.canvas.dataset.serial = picture.serial;
    if (this.camera) this.showNotice();
    this.draw();
  }

  isPlaying() { return performance.now() - this.framedAt < STALE_MS; }

  maySendVideo() { return !this.player.unsupported && !["ended", "failed"].includes(this.camera?.state); }

  takeStart(info, data) {
    this.player.start(info.mime, data);
  }

  takeFragment(data) {
    this.player.fragment(data);
    if (!this.player.failed) return;
    this.player.failed = false;
    this.askAnew();
  }

  takeResults(results) { this.boxes.add(results); }

  // A frame of video is on the screen: everything is drawn as it was then.
  showFrame(time) {
    const began = !this.isPlaying();
    this.framedAt = performance.now();
    this.videoTime = time;
    if (this.liesOnItsSide()) return;
    if (began && this.camera) this.showNotice();
    this.draw();
  }

  // A file that is turned by its metadata: boxes are those of the upright picture, the packets know nothing of it.
  liesOnItsSide() {
    const size = this.boxes.list.at(-1)?.size;
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!size || width === height || size[0] > size[1] === width > height) return false;
    this.player.unsupported = true;
    this.player.close();
    this.framedAt = -Infinity;
    this.draw();
    return true;
  }

  draw() {
    const playing = this.isPlaying();
    this.element.dataset.video = playing ? "playing" : "";
    if (!playing && !this.bitmap) return;
    const ratio = window.devicePixelRatio || 1;
    const width = this.screen.clientWidth;
    const height = this.screen.clientHeight;
    if (!width) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const seen = playing ? this.resultNow() : this.picture;
    this.canvas.drawnFor = playing ? this.videoTime : null; // of which frame of the video the boxes are
    const { width_px: sourceWidth, height_px: sourceHeight } = seen;
    if (!sourceWidth) return;
    const scale = Math.min(width / sourceWidth, height / sourceHeight); // whole picture, bars where it is narrower
    const left = (width - sourceWidth * scale) / 2;
    const top = (height - sourceHeight * scale) / 2;
    if (!playing) {
      context.fillStyle = "#06090d";
      context.fillRect(0, 0, width, height);
      context.imageSmoothingQuality = "high";
      context.drawImage(this.bitmap, left, top, sourceWidth * scale, sourceHeight * scale);
    }
    const place = ([x, y]) => [left + x * scale, top + y * scale];
    const named = [
      ...(this.camera?.zones ?? []).map((zone) => drawZone(context, zone, place)),
      ...(this.camera?.lines ?? []).map((line) => drawLine(context, line, place)),
    ];
    const used = [...named];
    for (const box of seen.boxes) drawBox(context, box, place, seen.classes, { used, width, top });
  }

  // What was found at the time of the frame on the screen, with the counts of then.
  resultNow() {
    const result = this.boxes.at(this.videoTime, this.camera?.gate.state === "shut");
    if (result && result.t !== this.shownResult) {
      this.shownResult = result.t;
      if (this.camera) this.showCounts(Object.entries(result.counts));
    }
    const [width, height] = result?.size ?? [this.camera?.width_px || this.video.videoWidth, this.camera?.height_px || this.video.videoHeight];
    return { width_px: width, height_px: height, boxes: result?.boxes ?? [], classes: result?.classes ?? {} };
  }
}

// "offline since 14:03:22 (2 min)"; with the day where that was not today.
function offlineSince(camera, capital = false) {
  const since = new Date(camera.offline_since_unix_s * 1000);
  const now = new Date();
  const day = since.toDateString() === now.toDateString() ? "" : `${since.toLocaleDateString([], { day: "numeric", month: "short" })}, `;
  const minutes = Math.floor((now - since) / 60000);
  const long = minutes < 1 ? "" : minutes < 120 ? ` (${minutes} min)` : ` (${Math.floor(minutes / 60)} h)`;
  return `${capital ? "Offline" : "offline"} since ${day}${since.toLocaleTimeString([], { hour12: false })}${long}`;
}

const share = (part, rest) => `${part ? Math.floor((100 * part) / (part + rest)) : 0} %`;

function figure(name, value, mood) {
  return make("div", mood || "", make("dt", "", name), make("dd", "", value));
}
