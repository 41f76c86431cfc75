// Plays one camera's fragments in a <video> by Media Source Extensions, close to the present, and never drifts away.

const LEAST_BEHIND_S = 0.35; // behind the newest picture that has arrived
const MOST_BEHIND_S = 0.9; // after the network let the player wait
const CATCH_UP_S = 0.3; // further behind than wanted: play faster
const JUMP_S = 2.5; // much further: jump
const KEEP_S = 10;
const MOST_FAILURES = 5; // in a row; then the camera is shown by pictures

export class Player {
  constructor(video, onFrame) {
    Object.assign(this, { video, onFrame, failures: 0, behind: LEAST_BEHIND_S, unsupported: false });
    video.muted = true;
    video.playsInline = true;
    video.disablePictureInPicture = true;
    video.addEventListener("waiting", () => { this.behind = Math.min(this.behind + 0.1, MOST_BEHIND_S); });
    video.addEventListener("error", () => this.fail());
    this.reset();
  }

  reset() {
    this.queue = [];
    this.buffer = null;
    this.mime = "";
    this.source = null;
    this.needsStart = true;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }

  // Whether it plays what the camera sends.
  start(mime, data) {
    if (!window.MediaSource || !MediaSource.isTypeSupported(mime) || this.failures >= MOST_FAILURES) {
      this.unsupported = true;
      return false;
    }
    this.needsStart = false;
    this.queue.push({ mime, data });
    if (!this.source) this.open();
    this.pump();
    return true;
  }

  fragment(data) {
    if (this.needsStart) return;
    this.queue.push({ data });
    this.pump();
  }

  open() {
    const source = new MediaSource();
    this.source = source;
    this.url = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => {
      if (source !== this.source) return;
      this.mime = this.queue[0].mime;
      this.buffer = source.addSourceBuffer(this.mime);
      this.buffer.addEventListener("updateend", () => { this.pump(); this.follow(); });
      this.buffer.addEventListener("error", () => this.fail());
      this.pump();
    }, { once: true });
    this.video.src = this.url;
    this.watchFrames();
  }

  pump() {
    const { buffer, queue } = this;
    if (!buffer || buffer.updating || !queue.length) return;
    try {
      if (queue[0].mime && queue[0].mime !== this.mime) {
        this.mime = queue[0].mime;
        buffer.changeType(this.mime);
      }
      let count = 1;
      while (count < queue.length && !queue[count].mime) count += 1;
      const parts = queue.splice(0, count).map((item) => item.data);
      buffer.appendBuffer(parts.length === 1 ? parts[0] : concatenate(parts));
    } catch (error) {
      if (error.name === "QuotaExceededError") this.trim(1);
      else this.fail();
    }
  }

  // After an error: begin anew with the next start, which the server is asked for.
  fail() {
    this.failures += 1;
    this.reset();
    this.failed = true;
  }

  // Stay near the newest picture.
  follow() {
    const { video } = this;
    const ranges = video.buffered;
    if (!ranges.length || !this.buffer) return;
    const begin = ranges.start(ranges.length - 1);
    const end = ranges.end(ranges.length - 1);
    const lag = end - video.currentTime;
    if (video.currentTime < begin || lag > JUMP_S) video.currentTime = Math.max(begin, end - this.behind);
    else video.playbackRate = lag > this.behind + CATCH_UP_S ? 1.1 : lag < this.behind + 0.05 ? 1 : video.playbackRate;
    if (video.paused) video.play().catch(() => {}); // a hidden page may not play; it is asked again
    if (video.currentTime - ranges.start(0) > 2 * KEEP_S) this.trim(KEEP_S);
  }

  trim(keep) {
    if (this.buffer && !this.buffer.updating && this.video.currentTime > keep) this.buffer.remove(0, this.video.currentTime - keep);
  }

  watchFrames() {
    if (this.watching) return;
    this.watching = true;
    const seen = (time) => {
      this.failures = 0;
      this.onFrame(time);
    };
    if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
      const next = (_, frame) => {
        seen(frame.mediaTime);
        this.video.requestVideoFrameCallback(next);
      };
      this.video.requestVideoFrameCallback(next);
    } else { // the time is that of the page's frame, not of the picture: a picture's length less exact
      let last = -1;
      const next = () => {
        if (this.video.currentTime !== last && this.video.readyState >= 2) seen(last = this.video.currentTime);
        requestAnimationFrame(next);
      };
      requestAnimationFrame(next);
    }
  }

  close() {
    this.reset();
    this.video.removeAttribute("src");
    this.video.load();
  }
}

export function concatenate(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
