// What uPlot has no notion of: environment changes, markers, steps, and the strip of missing values.

import { faint, FONT } from "./chart.js";
import { hasEnds, isInterval, number } from "./format.js";
import { harmless } from "./history_table.js";
import { draw } from "./marks.js";

export const STRIP_ROW = 14;
const LEAST_GAP = 7; // px between points that all get a marker
const MARK_EVERY = 70; // px along a dense line, so that its shape can be known

/** Below the lines: where an environment changed. */
export function beneath(plot, { environments, told, paint }) {
  const { ctx: context, bbox } = plot;
  const ratio = devicePixelRatio;
  const colour = paint().change;
  context.save();
  context.font = scaledFont(ratio);
  context.textBaseline = "top";
  context.textAlign = "left";
  const seen = environments.filter(({ x }) => x >= plot.scales.x.min && x <= plot.scales.x.max);
  seen.forEach(({ x, text }, index) => {
    const left = Math.round(plot.valToPos(x, "x", true)) + 0.5;
    context.strokeStyle = colour;
    context.lineWidth = ratio;
    context.setLineDash([5 * ratio, 4 * ratio]);
    context.beginPath();
    context.moveTo(left, bbox.top);
    context.lineTo(left, bbox.top + bbox.height);
    context.stroke();
    if (!told) return;
    const next =
      index + 1 < seen.length
        ? plot.valToPos(seen[index + 1].x, "x", true)
        : bbox.left + bbox.width;
    const written = clipped(context, text, next - left - 8 * ratio);
    if (!written) return;
    context.fillStyle = colour;
    context.fillText(written, left + 4 * ratio, bbox.top + ratio);
  });
  context.restore();
}

/** Above the lines: markers, steps with their size, and the strip. */
export function above(plot, options, rows) {
  const { ctx: context, bbox } = plot;
  context.save();
  context.beginPath();
  context.rect(bbox.left - 6, bbox.top - 6, bbox.width + 12, bbox.height + 12);
  context.clip();
  for (const line of options.lines) markers(plot, line, options);
  steps(plot, options);
  context.restore();
  strip(plot, rows, options);
}

function markers(plot, { slot, column, values }, { xs, paint }) {
  if (!values) return;
  const ratio = devicePixelRatio;
  const colour = paint()[`s${slot}`];
  const [from, to] = plot.series[0].idxs ?? [0, xs.length - 1];
  const seen = [];
  for (let i = from; i <= to; i++) if (column.at[i] >= 0) seen.push(i);
  const dense = seen.length > 1 && plot.bbox.width / ratio / (seen.length - 1) < LEAST_GAP;
  let last = -Infinity;
  for (const i of seen) {
    const left = plot.valToPos(xs[i], "x", true);
    const single = column.low[i] === null;
    const due = left - last >= MARK_EVERY * ratio;
    if (dense && !single && !due && i !== seen.at(-1)) continue;
    if (due) last = left;
    const top = plot.valToPos(column.y[i], "y", true);
    if (!single && alone(column.y, i)) whisker(plot, left, column.low[i], column.high[i], colour);
    draw(plot.ctx, `point${slot}`, left, top, {
      colour,
      ratio,
      size: 0.85,
      hollow: single ? paint().bg : null,
    });
  }
}

/** A point without a neighbour has no band; its interval needs a line of its own. */
function alone(y, i) {
  let [before, after] = [i - 1, i + 1];
  while (y[before] === undefined && before >= 0) before--;
  while (y[after] === undefined && after < y.length) after++;
  return !Number.isFinite(y[before]) && !Number.isFinite(y[after]);
}

function whisker({ ctx: context, valToPos }, left, low, high, colour) {
  const ratio = devicePixelRatio;
  const [bottom, top] = [valToPos(low, "y", true), valToPos(high, "y", true)];
  context.strokeStyle = colour;
  context.lineWidth = 1.2 * ratio;
  context.setLineDash([]);
  context.beginPath();
  context.moveTo(left, bottom);
  context.lineTo(left, top);
  for (const end of [bottom, top]) {
    context.moveTo(left - 4 * ratio, end);
    context.lineTo(left + 4 * ratio, end);
  }
  context.stroke();
}

function steps(plot, { findings, paint }) {
  const { ctx: context, bbox } = plot;
  const ratio = devicePixelRatio;
  const tones = { regression: "worse", improvement: "better", environment: "change" };
  let [lastLeft, lastTop] = [-Infinity, 0];
  context.font = scaledFont(ratio, "600 ");
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const { x, y, finding } of findings) {
    if (x < plot.scales.x.min || x > plot.scales.x.max || !Number.isFinite(y)) continue;
    const left = plot.valToPos(x, "x", true);
    const at = plot.valToPos(y, "y", true);
    const kind = finding.verdict || finding.kind;
    const colour = paint()[tones[kind] ?? "muted"];
    const sized = isInterval(finding.ratio);
    // An environment that moved nothing has its dashed line, and that is enough.
    if (harmless(finding)) continue;
    const up = sized ? finding.ratio[0] > 1 : true;
    const from = sized ? plot.valToPos(y / finding.ratio[0], "y", true) : at;
    if (Math.abs(from - at) > 8 * ratio) arrow(context, left, from, at, colour, ratio);
    const top = Math.min(
      Math.max(at + (up ? -16 : 16) * ratio, bbox.top + 22 * ratio),
      bbox.top + bbox.height - 10 * ratio,
    );
    draw(context, kind, left, top, { colour, ratio, size: 0.9 });
    if (left - lastLeft < 60 * ratio && Math.abs(top - lastTop) < 14 * ratio) continue;
    [lastLeft, lastTop] = [left, top];
    const text = sized ? signed(finding.ratio) : finding.kind;
    const width = context.measureText(text).width;
    const right = left + 8 * ratio + width < bbox.left + bbox.width;
    const start = right ? left + 8 * ratio : left - 8 * ratio - width;
    context.fillStyle = faint(paint().bg, 0.65);
    context.fillRect(start - 2, top - 8 * ratio, width + 4, 16 * ratio);
    context.fillStyle = colour;
    context.fillText(text, start, top);
  }
}

function arrow(context, left, from, to, colour, ratio) {
  const head = (to > from ? -1 : 1) * 5 * ratio;
  context.strokeStyle = colour;
  context.lineWidth = 1.6 * ratio;
  context.setLineDash([]);
  context.beginPath();
  context.moveTo(left, from);
  context.lineTo(left, to);
  context.moveTo(left - 4 * ratio, to + head);
  context.lineTo(left, to);
  context.lineTo(left + 4 * ratio, to + head);
  context.stroke();
}

/** A row for each series with something to tell; a mark never lies where a value could. */
function strip(plot, rows, { paint }) {
  const { ctx: context, bbox } = plot;
  const ratio = devicePixelRatio;
  rows.forEach(({ slot, events }, row) => {
    const top = bbox.top + bbox.height + (row + 0.5) * STRIP_ROW * ratio + 3 * ratio;
    let last = -Infinity;
    for (const { x, outcome } of events) {
      if (x < plot.scales.x.min || x > plot.scales.x.max) continue;
      const left = plot.valToPos(x, "x", true);
      if (left - last < 3 * ratio) continue;
      last = left;
      draw(context, outcome, left, top, { colour: paint()[`s${slot}`], ratio, size: 0.85 });
    }
  });
}

function signed(ratio) {
  const share = (ratio[0] - 1) * 100;
  if (ratio[0] >= 2 || ratio[0] <= 0.5) return `${number(ratio[0])}x`;
  const wide = hasEnds(ratio) ? (ratio[2] - ratio[1]) * 50 : 1;
  return `${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(wide < 1 ? 1 : 0)} %`;
}

function clipped(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const letters = Math.floor((width / context.measureText(text).width) * text.length) - 1;
  return letters >= 8 ? `${text.slice(0, letters)}…` : "";
}

function scaledFont(ratio, weight = "") {
  return weight + FONT.replace(/^\d+/, (size) => String(Number(size) * ratio));
}
