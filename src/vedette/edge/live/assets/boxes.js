// Where the boxes are at any moment of the video, from results of detection that are further apart than its frames.

const LONGEST_GAP_S = 1.5; // further apart, a track's way between two results is not known
const GO_ON_S = 0.4; // how long a box moves on by its speed when no newer result is there
const HOLD_S = 1.0; // how long it stays then, unless nothing moves at all
const MOST = 400;

export class Boxes {
  constructor() {
    this.list = [];
  }

  clear() { this.list = []; }

  add(results) {
    for (const result of results) {
      if (this.list.length && result.t <= this.list.at(-1).t) continue; // told again
      this.list.push(result);
    }
    if (this.list.length > MOST) this.list.splice(0, this.list.length - MOST);
  }

  // The result that holds at this time with its boxes moved to where they are then; null before the first.
  at(time, still) {
    let index = this.list.length - 1;
    while (index >= 0 && this.list[index].t > time + 0.002) index -= 1;
    if (index < 0) return null;
    const now = this.list[index];
    const next = this.list[index + 1];
    if (next && next.t - now.t < LONGEST_GAP_S) return between(now, next, (time - now.t) / (next.t - now.t));
    const old = time - now.t;
    if (old > HOLD_S && !still) return { ...now, boxes: [] };
    const before = this.list[index - 1];
    if (!before || now.t - before.t > LONGEST_GAP_S || still) return now;
    const ahead = Math.min(old, GO_ON_S) / (now.t - before.t);
    const boxes = now.boxes.map((box) => {
      const was = before.boxes.find((other) => other[4] === box[4]);
      return was ? mix(was, box, 1 + ahead) : box;
    });
    return { ...now, boxes };
  }
}

function between(now, next, share) {
  const boxes = [];
  for (const box of now.boxes) {
    const then = next.boxes.find((other) => other[4] === box[4]);
    if (then) boxes.push(mix(box, then, share));
    else if (share < 0.5) boxes.push(box);
  }
  if (share >= 0.5) boxes.push(...next.boxes.filter((box) => !now.boxes.some((other) => other[4] === box[4])));
  return { ...now, boxes, classes: { ...next.classes, ...now.classes } };
}

const mix = (from, to, share) => [...[0, 1, 2, 3].map((at) => from[at] + (to[at] - from[at]) * share), to[4], to[5]];
