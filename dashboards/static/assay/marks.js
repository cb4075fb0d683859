// The shapes that stand for series and for what went wrong, for canvases and for SVG alike.

import { el, svg } from "./dom.js";

/** Paths within -5..5; those in OPEN are stroked, the others filled. */
const SHAPES = {
  failed: "M-4-4L4 4M4-4L-4 4",
  crashed: "M0-5V5M-4.3-2.5L4.3 2.5M-4.3 2.5L4.3-2.5",
  out_of_memory: "M-4-4H4V4H-4ZM-2-1.3H2M-2 1.3H2",
  timeout: "M-3.5-4.5H3.5L-3.5 4.5H3.5Z",
  skipped: "M-5 0H-1M1 0H5",
  unavailable: "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0M-2.8 2.8L2.8-2.8",
  unresolvable: "M-5-1Q-2.5-4 0-1T5-1M-5 3Q-2.5 0 0 3T5 3",
  impossible: "M0-4.5L5 4H-5ZM0-1.5V1.2M0 2.4V3",
  regression: "M0-4.5L4.5 3.5H-4.5Z",
  improvement: "M0 4.5L4.5-3.5H-4.5Z",
  environment: "M0-5L4.5 0L0 5L-4.5 0Z",
  spike: "M-4 4L0-4.5L4 4",
  drift: "M-5 3L-1.5 0L0 1.5L5-3.5M2-3.5H5V-.5",
  disturbed: "M-3.4-3.4L3.4 3.4M3.4-3.4L-3.4 3.4",
  ok: "M-4 .5L-1.2 3.5L4.5-3.5",
  point0: "M3.4 0A3.4 3.4 0 1 1-3.4 0A3.4 3.4 0 1 1 3.4 0Z",
  point1: "M-3.1-3.1H3.1V3.1H-3.1Z",
  point2: "M0-4L4 3H-4Z",
  point3: "M0-4.4L4.4 0L0 4.4L-4.4 0Z",
  point4: "M0 4L4-3H-4Z",
  point5: "M0-4.2L4-1.3L2.5 3.4H-2.5L-4-1.3Z",
  point6: "M-1.4-4H1.4V-1.4H4V1.4H1.4V4H-1.4V1.4H-4V-1.4H-1.4Z",
  point7: "M-2-4H2L4 0L2 4H-2L-4 0Z",
};
const OPEN = new Set([
  "failed",
  "crashed",
  "out_of_memory",
  "timeout",
  "skipped",
  "unavailable",
  "unresolvable",
  "impossible",
  "spike",
  "drift",
  "disturbed",
  "ok",
]);

/** What of a series is told apart besides its colour. */
export const DASHES = [
  [],
  [7, 4],
  [2, 3],
  [9, 3, 2, 3],
  [12, 4],
  [4, 2],
  [2, 6],
  [9, 3, 2, 3, 2, 3],
];
export const MOST_SERIES = 8;

/** Words in a box that have no shape. */
const TAGS = new Set(["new", "dirty"]);

const NAMES = {
  out_of_memory: "out of memory",
  timeout: "timed out",
  ok: "ok",
};

/** An outcome, status or kind for people. */
export function named(kind) {
  return NAMES[kind] ?? String(kind).replaceAll("_", " ");
}

export function known(kind) {
  return Object.hasOwn(SHAPES, kind);
}

/** Draw a shape on a canvas; sizes are in CSS pixels times `ratio`. */
export function draw(context, kind, x, y, { colour, ratio = 1, size = 1, hollow = null }) {
  const shape = new Path2D(SHAPES[known(kind) ? kind : "failed"]);
  context.save();
  context.translate(x, y);
  context.scale(ratio * size, ratio * size);
  context.setLineDash([]);
  context.lineWidth = 1.6;
  context.strokeStyle = colour;
  if (OPEN.has(kind)) {
    context.stroke(shape);
  } else {
    context.fillStyle = hollow ?? colour;
    context.fill(shape);
    if (hollow) context.stroke(shape);
  }
  context.restore();
}

/** The same shape as a small picture in a text; the words beside it say what it means. */
export function mark(kind, colour = "currentColor") {
  const open = OPEN.has(kind) || !known(kind);
  const path = svg("path", {
    d: SHAPES[known(kind) ? kind : "failed"],
    fill: open ? "none" : colour,
    stroke: open ? colour : "none",
    "stroke-width": 1.6,
  });
  return svg("svg", { class: "mark", viewBox: "-6 -6 12 12", "aria-hidden": "true" }, path);
}

/** A shape with its word in a small box. */
export function badge(kind, text = named(kind)) {
  return el(
    "span",
    { class: `badge ${known(kind) || TAGS.has(kind) ? kind : ""}` },
    known(kind) ? mark(kind) : null,
    text,
  );
}

/** A piece of a series' line with its marker, for legends. */
export function swatch(slot) {
  const colour = `var(--s${slot})`;
  const line = svg("line", {
    x1: -14,
    x2: 14,
    y1: 0,
    y2: 0,
    stroke: colour,
    "stroke-width": 2,
    "stroke-dasharray": DASHES[slot].join(" ") || null,
  });
  const point = svg("path", { d: SHAPES[`point${slot}`], fill: colour });
  return svg(
    "svg",
    { class: "swatch", viewBox: "-15 -6 30 12", width: 30, height: 12, "aria-hidden": "true" },
    line,
    point,
  );
}
