// Points with error bars on two logarithmic axes; each point is a link that a key can reach.

import { axis, colours, faint, fittedLog, follow, FONT, logTicks, uPlot } from "./chart.js";
import { el } from "./dom.js";
import { hasEnds } from "./format.js";
import { draw } from "./marks.js";

const HEIGHT = 360;

/**
 * @typedef {{x: number[], y: number[], slot: number, text: string, said: string, address: string}} Spot
 *   x and y are intervals; `text` stands beside the point, `said` is all there is to say
 * @typedef {{from: [number, number], to: [number, number], low?: number[][], text: string, dash?: number[], slot?: number}} Line
 *   in the axes' values; `band` holds the corners of its interval
 */

/**
 * A figure; its `mounted` draws it once it is in the page and returns what ends it.
 * @param {{title: string|null, spots: Spot[], lines: Line[], x: {name: string, unit: string}, y: {name: string, unit: string}, summary: string}} options
 */
export function scatter({ title, spots, lines, x, y, summary }) {
  const box = el("div", { class: "scatter", role: "group", "aria-label": summary });
  const status = el(
    "p",
    { class: "muted", role: "status" },
    "Point at a mark, or reach it with Tab, to read its values.",
  );
  const links = spots.map((spot) => {
    const tell = () => (status.textContent = spot.said);
    return el("a", {
      class: "spot",
      href: spot.address,
      "aria-label": spot.said,
      mouseenter: tell,
      focus: tell,
    });
  });
  const node = el(
    "figure",
    { class: "chart" },
    title ? el("figcaption", null, el("b", null, title)) : null,
    box,
    status,
  );
  const mounted = () => {
    let paint = colours();
    const order = [...spots].sort((a, b) => a.x[0] - b.x[0]);
    const limits = (of, extra) => {
      const values = spots
        .flatMap((spot) => spot[of])
        .concat(extra)
        .filter((value) => value > 0);
      return fittedLog(Math.min(...values), Math.max(...values));
    };
    const xRange = limits("x", []);
    const yRange = limits(
      "y",
      lines.flatMap((line) => [line.to[1]]).filter((value) => value > 0),
    );
    const plot = new uPlot(
      {
        width: Math.max(box.clientWidth, 200),
        height: HEIGHT,
        padding: [12, 16, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false, distr: 3, range: () => xRange },
          y: { distr: 3, range: () => yRange },
        },
        axes: [
          axis(() => paint, {
            ...logTicks(x.unit),
            label: x.name,
            labelFont: FONT,
            labelSize: 18,
            size: 30,
            space: 60,
          }),
          axis(() => paint, {
            ...logTicks(y.unit),
            label: y.name,
            labelFont: FONT,
            labelSize: 18,
            size: 84,
            space: 24,
          }),
        ],
        series: [{}, { points: { show: false }, paths: () => null }],
        hooks: {
          drawAxes: [(plot) => limitsDrawn(plot, lines, paint)],
          draw: [(plot) => spotsDrawn(plot, spots, links, paint)],
        },
      },
      [order.map((spot) => spot.x[0]), order.map((spot) => spot.y[0])],
      box,
    );
    plot.over.append(...links);
    return follow(
      () => [{ plot, box, height: HEIGHT }],
      (now) => (paint = now),
    );
  };
  return { node, mounted };
}

function limitsDrawn(plot, lines, paint) {
  const { ctx: context, bbox } = plot;
  const ratio = devicePixelRatio;
  const at = ([x, y]) => [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
  context.save();
  context.beginPath();
  context.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  context.clip();
  context.font = FONT.replace(/^\d+/, (size) => String(Number(size) * ratio));
  context.textBaseline = "bottom";
  lines.forEach(({ from, to, band, text, dash, slot }) => {
    const colour = slot === undefined ? paint.muted : paint[`s${slot}`];
    if (band) {
      context.fillStyle = faint(colour, 0.15);
      context.beginPath();
      band
        .map(at)
        .forEach(([left, top], corner) =>
          corner ? context.lineTo(left, top) : context.moveTo(left, top),
        );
      context.fill();
    }
    const [[x0, y0], [x1, y1]] = [at(from), at(to)];
    context.strokeStyle = colour;
    context.lineWidth = 1.3 * ratio;
    context.setLineDash((dash ?? []).map((length) => length * ratio));
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
    if (text) along(context, bbox, [x0, y0], [x1, y1], text, colour, ratio);
  });
  context.restore();
}

/** A text above the right end of a line, as far as it lies in the plot. */
function along(context, bbox, [x0, y0], [x1, y1], text, colour, ratio) {
  const slope = (y1 - y0) / (x1 - x0);
  const right = bbox.left + bbox.width - 6 * ratio;
  const upper = bbox.top + 16 * ratio;
  let x = Math.min(x1, right);
  if (slope < 0) x = Math.min(x, x0 + (upper - y0) / slope);
  context.save();
  context.fillStyle = colour;
  context.textAlign = "right";
  context.translate(x, y0 + slope * (x - x0));
  context.rotate(Math.atan(slope));
  context.fillText(text, slope ? -8 * ratio : 0, -3 * ratio);
  context.restore();
}

function spotsDrawn(plot, spots, links, paint) {
  const { ctx: context, bbox } = plot;
  const ratio = devicePixelRatio;
  const taken = spots.map(({ x, y }) => {
    const [left, top] = [plot.valToPos(x[0], "x", true), plot.valToPos(y[0], "y", true)];
    return [left - 7 * ratio, top - 7 * ratio, left + 7 * ratio, top + 7 * ratio];
  });
  context.save();
  context.font = FONT.replace(/^\d+/, (size) => String(Number(size) * ratio));
  context.textBaseline = "middle";
  context.textAlign = "left";
  spots.forEach(({ x, y, slot, text }, index) => {
    const colour = paint[`s${slot}`];
    const [left, top] = [plot.valToPos(x[0], "x", true), plot.valToPos(y[0], "y", true)];
    errorBars(plot, x, y, left, top, colour, ratio);
    const known = hasEnds(x) && hasEnds(y);
    draw(context, `point${slot}`, left, top, {
      colour,
      ratio,
      size: 1.2,
      hollow: known ? null : paint.bg,
    });
    const width = context.measureText(text).width;
    const places = [
      [left + 10 * ratio, top],
      [left - 10 * ratio - width, top],
      [left - width / 2, top - 15 * ratio],
      [left - width / 2, top + 15 * ratio],
    ];
    const free = places.find(([a, b]) => {
      const area = [a, b - 7 * ratio, a + width, b + 7 * ratio];
      const inside =
        area[0] >= bbox.left &&
        area[2] <= bbox.left + bbox.width &&
        area[1] >= bbox.top &&
        area[3] <= bbox.top + bbox.height;
      return (
        inside &&
        !taken.some(
          (other) =>
            area[0] < other[2] && area[2] > other[0] && area[1] < other[3] && area[3] > other[1],
        )
      );
    });
    if (free) {
      taken.push([free[0], free[1] - 7 * ratio, free[0] + width, free[1] + 7 * ratio]);
      context.fillStyle = paint.text;
      context.fillText(text, ...free);
    }
    links[index].style.left = `${left / ratio - plot.bbox.left / ratio}px`;
    links[index].style.top = `${top / ratio - plot.bbox.top / ratio}px`;
  });
  context.restore();
}

function errorBars(plot, x, y, left, top, colour, ratio) {
  const context = plot.ctx;
  context.strokeStyle = colour;
  context.lineWidth = 1.2 * ratio;
  context.setLineDash([]);
  context.beginPath();
  const cap = 3 * ratio;
  if (hasEnds(x)) {
    const [low, high] = [plot.valToPos(x[1], "x", true), plot.valToPos(x[2], "x", true)];
    context.moveTo(low, top);
    context.lineTo(high, top);
    for (const end of [low, high]) {
      context.moveTo(end, top - cap);
      context.lineTo(end, top + cap);
    }
  }
  if (hasEnds(y)) {
    const [low, high] = [plot.valToPos(y[1], "y", true), plot.valToPos(y[2], "y", true)];
    context.moveTo(left, low);
    context.lineTo(left, high);
    for (const end of [low, high]) {
      context.moveTo(left - cap, end);
      context.lineTo(left + cap, end);
    }
  }
  context.stroke();
}
