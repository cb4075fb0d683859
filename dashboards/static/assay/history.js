// One quantity of the chosen series over the commits: lines, 95 % bands, and what went wrong below.

import { axis, faint, fitted, fittedLog, inUnit, logTicks, stepsOf, uPlot } from "./chart.js";
import { day, short } from "./format.js";
import { beneath, above, STRIP_ROW } from "./history_draw.js";
import { DASHES } from "./marks.js";

const Y_AXIS = 74;
const X_AXIS = 40;
const INCREMENTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/**
 * @param {HTMLElement} box
 * @param {object} options
 * @param {Float64Array} options.xs
 * @param {{slot: number, column: any, values: any, events: any[]}[]} options.lines
 * @param {any[]} options.commits
 * @param {string} options.unit
 * @param {"fit"|"zero"|"log"} options.scale
 * @param {[number, number]} options.range of the commit axis at first
 * @param {[number, number]} options.full range, to which a double click returns
 * @param {number} options.height of the plot with its axis, px
 * @param {boolean} options.dated whether the commits are written below
 * @param {any[]} options.environments
 * @param {any[]} options.findings
 * @param {boolean} options.told whether environment changes carry their text
 * @param {() => Object<string, string>} options.paint
 * @param {(min: number, max: number) => void} options.zoomed
 * @param {(plot: any) => void} options.moved
 */
export function historyChart(box, options) {
  const { xs, lines, commits, paint, scale } = options;
  const rows = lines.filter((line) => line.events.length);
  const strip = rows.length ? rows.length * STRIP_ROW + 4 : 0;
  const height = options.height + strip + (options.dated ? X_AXIS : 6);
  const stroke = (slot) => () => paint()[`s${slot}`];
  const series = [{}];
  const bands = [];
  const data = [xs];
  for (const { slot, column } of lines) {
    const first = series.length;
    const end = { stroke: "transparent", width: 0, points: { show: false } };
    series.push(
      { stroke: stroke(slot), width: 1.5, dash: DASHES[slot], points: { show: false } },
      { ...end, auto: false },
      { ...end, auto: false },
    );
    data.push(column.y, column.low, column.high);
    bands.push({ series: [first + 2, first + 1], fill: () => faint(paint()[`s${slot}`], 0.18) });
  }
  const plot = new uPlot(
    {
      width: Math.max(box.clientWidth, 200),
      height,
      padding: [10, 32, 0, 0],
      legend: { show: false },
      cursor: {
        points: { show: false },
        y: false,
        drag: { x: true, y: false, dist: 6 },
        bind: { dblclick: () => () => options.zoomed(...options.full) },
        sync: { key: "history", scales: ["x", null] },
      },
      scales: {
        x: { time: false, range: (_, low, high) => (low === null ? options.full : [low, high]) },
        y: {
          distr: scale === "log" ? 3 : 1,
          range: (plot, low, high) => vertical(plot, low, high, lines, scale),
        },
      },
      axes: [
        // The strip for what has no number lies between the plot and the commits.
        axis(paint, {
          scale: "x",
          side: 2,
          size: strip,
          values: () => [],
          ticks: { show: false },
          grid: { show: false },
          show: strip > 0,
          gap: 0,
        }),
        axis(paint, {
          scale: "x",
          side: 2,
          size: options.dated ? X_AXIS : 6,
          space: 84,
          incrs: INCREMENTS,
          values: (_, splits) => (options.dated ? splits.map((x) => label(commits, x)) : []),
        }),
        axis(paint, {
          side: 3,
          scale: "y",
          size: Y_AXIS,
          space: 34,
          ...(scale === "log"
            ? logTicks(options.unit)
            : { values: inUnit(options.unit), ...stepsOf(options.unit) }),
        }),
      ],
      series,
      bands,
      hooks: {
        drawAxes: [(plot) => beneath(plot, options)],
        draw: [(plot) => above(plot, options, rows)],
        setScale: [
          (plot, key) => key === "x" && options.zoomed(plot.scales.x.min, plot.scales.x.max),
        ],
        setCursor: [(plot) => options.moved(plot)],
      },
    },
    data,
    box,
  );
  plot.setScale("x", { min: options.range[0], max: options.range[1] });
  return { plot, box, height };
}

function label(commits, x) {
  const commit = Number.isInteger(x) ? commits[x] : undefined;
  return commit ? `${short(commit[0])}\n${day(commit[1]).slice(2)}` : "";
}

/** The values in the window decide; of the intervals all but the widest twentieth. */
function vertical(plot, low, high, lines, scale) {
  if (low === null || high === null) return scale === "log" ? [0.1, 10] : [0, 1];
  const [from, to] = plot.series[0].idxs ?? [0, plot.data[0].length - 1];
  const ends = (name, place) => {
    const within = lines
      .flatMap(({ column }) => column[name].slice(from, to + 1))
      .filter(Number.isFinite)
      .sort((a, b) => a - b);
    return within.length ? within[place(within.length - 1)] : null;
  };
  const least = Math.min(low, ends("low", (last) => Math.floor(0.05 * last)) ?? low);
  const most = Math.max(high, ends("high", (last) => Math.ceil(0.95 * last)) ?? high);
  if (scale === "log") return fittedLog(Math.max(least, low / 10), most, 1.6);
  if (scale === "zero") return [0, most * 1.08 || 1];
  return fitted(least, most);
}
