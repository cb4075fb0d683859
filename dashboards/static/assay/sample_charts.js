// Draws samples: in the order in which they were taken, and as a histogram.

import { axis, faint, fitted, inUnit, stepsOf, uPlot } from "./chart.js";
import { hasEnds } from "./format.js";
import { draw } from "./marks.js";

const HEIGHT = 230;
const MOST_BINS = 60;

/** The samples one after the other, process beside process, with the processes' medians. */
export function ordered(box, unit, taken, medians, headline, paint) {
  const [xs, ys, parts] = [[], [], []];
  for (const { measurement } of taken) {
    const from = xs.length;
    for (const value of measurement.values) {
      xs.push(xs.length);
      ys.push(value);
    }
    parts.push([from, xs.length]);
  }
  const parted = (plot) => {
    const { ctx: context, bbox } = plot;
    const ratio = devicePixelRatio;
    const clip = () => {
      context.save();
      context.beginPath();
      context.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      context.clip();
    };
    clip();
    parts.forEach(([from, to], index) => {
      const [left, right] = [
        plot.valToPos(from - 0.5, "x", true),
        plot.valToPos(to - 0.5, "x", true),
      ];
      if (index % 2) {
        context.fillStyle = faint(paint().muted, 0.08);
        context.fillRect(left, bbox.top, right - left, bbox.height);
      }
    });
    band(plot, headline, paint, true);
    context.restore();
  };
  const marked = (plot) => {
    const ratio = devicePixelRatio;
    const small = xs.length > 400 ? 0.4 : xs.length > 120 ? 0.55 : 0.8;
    taken.forEach(({ measurement }, index) => {
      const off = new Set(measurement.disturbed);
      const [from] = parts[index];
      measurement.values.forEach((value, i) => {
        const [left, top] = [plot.valToPos(from + i, "x", true), plot.valToPos(value, "y", true)];
        if (off.has(i))
          draw(plot.ctx, "disturbed", left, top, { colour: paint().warn, ratio, size: 0.8 });
        else draw(plot.ctx, "point0", left, top, { colour: paint().s0, ratio, size: small });
      });
      const [left, right] = parts[index].map((x) => plot.valToPos(x - 0.5, "x", true));
      const top = plot.valToPos(medians[index], "y", true);
      plot.ctx.strokeStyle = paint().text;
      plot.ctx.lineWidth = 1.6 * ratio;
      plot.ctx.setLineDash([]);
      plot.ctx.beginPath();
      plot.ctx.moveTo(left + 2, top);
      plot.ctx.lineTo(right - 2, top);
      plot.ctx.stroke();
    });
  };
  const plot = new uPlot(
    {
      width: Math.max(box.clientWidth, 200),
      height: HEIGHT,
      padding: [10, 10, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [-0.5, Math.max(xs.length - 0.5, 0.5)] },
        y: { range: (_, low, high) => fitted(low, high) },
      },
      axes: [
        axis(paint, {
          size: 30,
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
          grid: { show: false },
          values: (_, splits) =>
            splits.map((value) => (value >= 0 && Number.isInteger(value) ? String(value) : "")),
        }),
        axis(paint, { size: 74, values: inUnit(unit), ...stepsOf(unit) }),
      ],
      series: [{}, { points: { show: false }, paths: () => null }],
      hooks: { drawAxes: [parted], draw: [marked] },
    },
    [xs, ys],
    box,
  );
  return { plot, box, height: HEIGHT };
}

/** A histogram of all samples, with the processes' medians below. */
export function spread(box, unit, taken, values, medians, headline, paint) {
  const { edges, counts } = histogram(values);
  const middles = counts.map((_, i) => (edges[i] + edges[i + 1]) / 2);
  const width = edges[1] - edges[0];
  const above = (plot) => {
    const { ctx: context, bbox } = plot;
    const ratio = devicePixelRatio;
    const bottom = bbox.top + bbox.height;
    context.save();
    medians.forEach((value) => {
      const left = plot.valToPos(value, "x", true);
      context.strokeStyle = paint().text;
      context.lineWidth = 1.6 * ratio;
      context.setLineDash([]);
      context.beginPath();
      context.moveTo(left, bottom);
      context.lineTo(left, bottom - 12 * ratio);
      context.stroke();
    });
    context.restore();
  };
  const bars = uPlot.paths.bars({ size: [1, Infinity, 1], gap: 1 });
  const plot = new uPlot(
    {
      width: Math.max(box.clientWidth, 200),
      height: HEIGHT,
      padding: [10, 14, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [edges[0] - width / 2, edges.at(-1) + width / 2] },
        y: { range: (_, low, high) => [0, (high || 1) * 1.1] },
      },
      axes: [
        axis(paint, {
          size: 30,
          space: 90,
          grid: { show: false },
          values: inUnit(unit),
          ...stepsOf(unit),
        }),
        axis(paint, {
          size: 74,
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
          values: (_, splits) => splits.map(String),
        }),
      ],
      series: [
        {},
        { points: { show: false }, paths: bars, fill: () => faint(paint().s0, 0.55), width: 0 },
      ],
      hooks: { drawAxes: [(plot) => band(plot, headline, paint, false)], draw: [above] },
    },
    [middles, counts],
    box,
  );
  return { plot, box, height: HEIGHT };
}

/** The headline's interval across the plot, and its estimate as a line. */
function band(plot, headline, paint, level) {
  if (!headline) return;
  const { ctx: context, bbox } = plot;
  const at = (value) => plot.valToPos(value, level ? "y" : "x", true);
  const [estimate, low, high] = headline;
  context.save();
  context.beginPath();
  context.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  context.clip();
  if (hasEnds(headline)) {
    context.fillStyle = faint(paint().s2, 0.22);
    if (level) context.fillRect(bbox.left, at(high), bbox.width, at(low) - at(high));
    else context.fillRect(at(low), bbox.top, at(high) - at(low), bbox.height);
  }
  context.strokeStyle = paint().s2;
  context.lineWidth = 1.3 * devicePixelRatio;
  context.setLineDash([5, 4]);
  context.beginPath();
  if (level) {
    context.moveTo(bbox.left, at(estimate));
    context.lineTo(bbox.left + bbox.width, at(estimate));
  } else {
    context.moveTo(at(estimate), bbox.top);
    context.lineTo(at(estimate), bbox.top + bbox.height);
  }
  context.stroke();
  context.restore();
}

/** Bins after Freedman and Diaconis (1981): twice the range of the quartiles over n^(1/3). */
function histogram(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[0], sorted.at(-1)];
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  const ideal = (2 * (at(0.75) - at(0.25))) / Math.cbrt(sorted.length);
  const span = high - low || Math.abs(high) * 0.02 || 1;
  const bins = ideal > 0 ? Math.min(Math.max(Math.ceil(span / ideal), 5), MOST_BINS) : 9;
  const from = high > low ? low : low - span / 2;
  const edges = Array.from({ length: bins + 1 }, (_, i) => from + (span * i) / bins);
  const counts = new Array(bins).fill(0);
  for (const value of values)
    counts[Math.min(Math.floor(((value - from) / span) * bins), bins - 1)]++;
  return { edges, counts };
}
