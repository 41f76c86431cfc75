// One endless answer brings the video and the boxes of all tiles on the screen; see video_routes.py.
import { concatenate } from "./player.js";
import { checked } from "./asking.js";

const [ALIVE, START, FRAGMENT, RESULTS] = [0, 1, 2, 3];
const HEAD = 7;
const SILENCE_MS = 8000; // the server says something at least every two seconds
const LONGEST_RETRY_MS = 5000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class VideoFeed {
  // `tileOf` gives what takes a camera's video: takeStart(info, data), takeFragment(data), takeResults(list).
  constructor(tileOf) {
    Object.assign(this, { tileOf, names: [], instance: "", have: new Map(), controller: null, retry: 500 });
    this.changed = () => {};
    document.addEventListener("visibilitychange", () => this.restart());
    this.run();
  }

  // Which cameras are to be played now.
  watch(names) {
    const sorted = [...names].sort();
    if (sorted.join("\n") === this.names.join("\n")) return;
    this.names = sorted;
    this.restart();
  }

  // A camera's player began anew: it needs its start again.
  forget(name) {
    this.have.delete(name);
    this.restart();
  }

  restart() {
    this.controller?.abort();
    this.changed();
  }

  async run() {
    for (;;) {
      if (document.hidden || !this.names.length) {
        await new Promise((resolve) => { this.changed = resolve; });
        continue;
      }
      this.controller = new AbortController();
      const { signal } = this.controller;
      try {
        await this.read(this.names, signal);
      } catch {
        // said below: whatever it was, it is asked again
      }
      if (!signal.aborted) {
        await pause(this.retry);
        this.retry = Math.min(this.retry * 2, LONGEST_RETRY_MS);
      }
    }
  }

  async read(names, signal) {
    const query = new URLSearchParams({ instance: this.instance });
    for (const name of names) {
      query.append("camera", name);
      const { serial, start, result } = this.have.get(name) ?? { serial: 0, start: 0, result: 0 };
      query.append("at", `${serial}.${start}.${result}`);
    }
    let silence = null;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => this.controller.abort(), SILENCE_MS);
    };
    try {
      listen();
      const response = checked(await fetch(`/video?${query}`, { signal }));
      await this.hear(response, names, listen);
    } finally {
      clearTimeout(silence);
    }
  }

  async hear(response, names, listen) {
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const instance = response.headers.get("X-Vedette-Video");
    if (instance !== this.instance) this.have.clear(); // another run than before, or the first answer
    this.instance = instance;
    const reader = response.body.getReader();
    let rest = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.retry = 500;
      listen();
      rest = this.take(rest.length ? concatenate([rest, value]) : value, names);
    }
  }

  // Hand on all whole messages; what is left over.
  take(bytes, names) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (bytes.length - at >= HEAD) {
      const size = view.getUint32(at);
      if (bytes.length - at - HEAD < size) break;
      const content = bytes.subarray(at + HEAD, at + HEAD + size);
      this.handOn(view.getUint8(at + 4), names[view.getUint16(at + 5)], content);
      at += HEAD + size;
    }
    return bytes.subarray(at);
  }

  handOn(kind, name, content) {
    const tile = this.tileOf(name);
    if (kind === ALIVE || !tile) return;
    const have = this.have.get(name) ?? { serial: 0, start: 0, result: 0 };
    this.have.set(name, have);
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    if (kind === START) {
      const behind = 2 + view.getUint16(0);
      const info = JSON.parse(new TextDecoder().decode(content.subarray(2, behind)));
      have.start = info.number;
      tile.takeStart(info, content.slice(behind));
    } else if (kind === FRAGMENT) {
      have.serial = view.getUint32(0);
      tile.takeFragment(content.slice(4));
    } else if (kind === RESULTS) {
      const { last, results } = JSON.parse(new TextDecoder().decode(content));
      have.result = last;
      tile.takeResults(results);
    }
  }
}
