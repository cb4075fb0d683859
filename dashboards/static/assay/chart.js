// What every chart shares: colours of the theme, axes, sizes, redrawing when any of these change.

import { ticks } from "./format.js";
import uPlot from "./uplot/uPlot.esm.js";

export { uPlot };

const NAMES = [
  "bg",
  "panel",
  "line",
  "line-strong",
  "text",
  "muted",
  "worse",
  "better",
  "change",
  "warn",
  "s0",
  "s1",
  "s2",
  "s3",
  "s4",
  "s5",
  "s6",
  "s7",
];
export const FONT =
  '12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';

/** The theme's colours as canvases take them, by the names of the style sheet. */
export function colours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const found = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

/** A colour of the theme with an opacity. */
export function faint(colour, opacity) {
  const parts = colour.match(/[\d.]+/g) ?? ["128", "128", "128"];
  return `rgba(${parts.slice(0, 3).join(",")},${opacity})`;
}

/**
 * An axis with our type, colours and units.
 * @param {() => Object<string, string>} paint the colours of now
 */
export function axis(paint, options) {
  return {
    font: FONT,
    stroke: () => paint().muted,
    grid: { stroke: () => paint().line, width: 1 },
    ticks: { stroke: () => paint().line, width: 1, size: 4 },
    gap: 4,
    ...options,
  };
}

/** Ticks with one prefix of the unit. */
export function inUnit(unit) {
  return (_, splits) => ticks(splits, unit);
}

/** Steps between ticks that are round in the prefix that is written: bytes go by powers of two. */
export function stepsOf(unit) {
  if (unit !== "B") return {};
  const round = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];
  return {
    incrs: (plot, axis, low, high) => {
      const prefix = 1024 ** Math.max(Math.floor(Math.log2(Math.max(Math.abs(high), 1)) / 10), 0);
      return round.map((step) => step * prefix);
    },
  };
}

/** Lines at every digit; labels at the decades, and at more digits where there are few decades. */
export function logTicks(unit) {
  const write = inUnit(unit);
  const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  return {
    splits: (plot, axis, low, high) => {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
        for (const digit of digits) {
          const value = Number(`${digit}e${power}`);
          if (value >= low && value <= high) found.push(value);
        }
      }
      return found;
    },
    filter: (plot, splits) => {
      const decades = splits.length ? Math.log10(splits.at(-1) / splits[0]) : 0;
      const kept = decades > 2.5 ? [1] : decades > 0.8 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 8];
      return splits.map((value) =>
        kept.includes(Number(value.toExponential()[0])) ? value : null,
      );
    },
    values: (plot, splits) =>
      splits.map((value) => (value === null ? "" : write(plot, [value])[0])),
  };
}

/** A range about the data that does not blow up noise: at least a tenth of the value. */
export function fitted(low, high) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high))
    return [0, 1];
  const middle = (low + high) / 2;
  const half = Math.max(((high - low) / 2) * 1.12, Math.abs(middle) * 0.05) || 1;
  return [low >= 0 ? Math.max(middle - half, 0) : middle - half, middle + half];
}

/** A logarithmic range with some space, wide enough for two ticks. */
export function fittedLog(low, high, least = 4) {
  if (!(low > 0) || !(high > 0)) return [0.1, 10];
  const spare = Math.max((high / low) ** 0.08, 1.15);
  let [from, to] = [low / spare, high * spare];
  const middle = Math.sqrt(from * to);
  if (to / from < least) [from, to] = [middle / Math.sqrt(least), middle * Math.sqrt(least)];
  return [from, to];
}

/**
 * Keep charts as wide as their box and in the colours of the theme.
 * @param {() => {plot: any, box: HTMLElement, height: number}[]} charts
 * @param {(colours: Object<string, string>) => void} painted takes the new colours
 * @returns {() => void} ends it
 */
export function follow(charts, painted) {
  const resize = () => {
    for (const { plot, box, height } of charts()) {
      const width = Math.floor(box.clientWidth);
      if (width > 0 && width !== plot.width) plot.setSize({ width, height });
    }
  };
  const repaint = () => {
    painted(colours());
    for (const { plot } of charts()) plot.redraw(false, true);
  };
  const watcher = new ResizeObserver(resize);
  for (const { box } of charts()) watcher.observe(box);
  window.addEventListener("assay-theme", repaint);
  return () => {
    watcher.disconnect();
    window.removeEventListener("assay-theme", repaint);
    for (const { plot } of charts()) plot.destroy();
  };
}
