// Boxes, lines and zones as strokes with names on a tile's canvas. `place` turns source pixels into those of the tile.
const LINE = "#ffbe40";
const ZONE = "#46c8dc";
const LABEL_PX = 15;

export function drawZone(context, zone, place) {
  const points = zone.xy_px.map(place);
  context.beginPath();
  points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.fillStyle = `${ZONE}26`;
  context.fill();
  context.strokeStyle = ZONE;
  context.lineWidth = 1.5;
  context.setLineDash([5, 4]);
  context.stroke();
  context.setLineDash([]);
  const [x, y] = points.reduce((best, point) => (point[1] < best[1] ? point : best));
  return plate(context, zone.name, x + 5, y + 5, "#0a141aC8", ZONE);
}

export function drawLine(context, line, place) {
  const [[x1, y1], [x2, y2]] = line.xy_px.map(place);
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const across = [-(y2 - y1) / length, (x2 - x1) / length]; // left to right of start -> end: the direction a_to_b
  const middle = [(x1 + x2) / 2, (y1 + y2) / 2];
  const tip = [middle[0] + across[0] * 15, middle[1] + across[1] * 15];
  const along = [(x2 - x1) / length, (y2 - y1) / length];
  const trace = () => {
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.moveTo(...middle);
    context.lineTo(...tip);
    for (const side of [-1, 1]) {
      context.moveTo(...tip);
      context.lineTo(tip[0] - across[0] * 6 + side * along[0] * 5, tip[1] - across[1] * 6 + side * along[1] * 5);
    }
    context.stroke();
  };
  context.lineCap = "round";
  context.strokeStyle = "#000000a0";
  context.lineWidth = 4.5;
  trace();
  context.strokeStyle = LINE;
  context.lineWidth = 2;
  trace();
  const [nameX, nameY] = y1 <= y2 ? [x1, y1] : [x2, y2]; // the upper end: the counts stand below
  return plate(context, line.name, nameX + 6, nameY + 6, "#171003C8", LINE);
}

export function drawBox(context, [bx1, by1, bx2, by2, track, classId], place, classes, { used, width, top }) {
  const [x1, y1] = place([bx1, by1]);
  const [x2, y2] = place([bx2, by2]);
  const [name, colour] = classes[classId];
  context.strokeStyle = "#000000a0";
  context.lineWidth = 3.5;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.strokeStyle = colour;
  context.lineWidth = 1.75;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  const text = `${name} ${track}`;
  context.font = "600 10.5px system-ui, sans-serif";
  const wide = context.measureText(text).width + 8;
  const x = Math.min(Math.max(x1 - 1, 0), Math.max(width - wide, 0));
  const lowest = context.canvas.clientHeight - top - LABEL_PX;
  const free = [y1 - LABEL_PX, y1, y2 - LABEL_PX, y2] // above the box, inside it, below it; or nowhere
    .map((y) => ({ x, y: Math.min(Math.max(y, top), lowest), w: wide, h: LABEL_PX }))
    .find((at) => !used.some((o) => at.x < o.x + o.w && o.x < at.x + at.w && at.y < o.y + o.h && o.y < at.y + at.h));
  if (!free) return;
  used.push(free);
  context.fillStyle = colour;
  context.fillRect(free.x, free.y, free.w, free.h);
  context.fillStyle = isDark(colour) ? "#ffffff" : "#0a0d10";
  context.textBaseline = "middle";
  context.fillText(text, free.x + 4, free.y + 8);
}

function plate(context, text, x, y, ground, ink) {
  context.font = "600 10.5px system-ui, sans-serif";
  const wide = context.measureText(text).width + 10;
  const left = Math.min(Math.max(x, 2), Math.max(context.canvas.clientWidth - wide - 2, 2));
  const top = Math.min(Math.max(y, 2), Math.max(context.canvas.clientHeight - 18, 2));
  context.fillStyle = ground;
  context.fillRect(left, top, wide, 16);
  context.fillStyle = ink;
  context.textBaseline = "middle";
  context.fillText(text, left + 5, top + 8.5);
  return { x: left, y: top, w: wide, h: 16 };
}

function isDark(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 110;
}
