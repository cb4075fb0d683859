// Small pictures in tables: a change with its interval, a speed-up, the last values of a series.

import { svg } from "./dom.js";
import { hasEnds } from "./format.js";

const WIDTH = 150;
const HEIGHT = 18;
const LEAST = Math.log(1.1); // so that a change of a few per cent does not fill the bar
const MOST = Math.log(4);

/** How far bars that are compared reach from 1x: the largest end among them, within bounds. */
export function reach(ratios) {
  const ends = ratios.flat().filter((value) => Number.isFinite(value) && value > 0);
  const largest = Math.max(0, ...ends.map((value) => Math.abs(Math.log(value))));
  return Math.min(Math.max(largest, LEAST), MOST);
}

/**
 * A ratio with its interval about a line at 1x, on a logarithmic axis.
 * @param {[number, number|null, number|null]} ratio
 * @param {number} end what `reach` gave
 * @param {string} tone a class with a colour
 */
export function ratioBar(ratio, end, tone) {
  const [estimate, low, high] = ratio;
  const at = (value) => {
    const place = Math.log(Math.max(value, 1e-9)) / end;
    return WIDTH / 2 + Math.max(-1, Math.min(1, place)) * (WIDTH / 2 - 6);
  };
  const middle = HEIGHT / 2;
  const parts = [
    svg("line", {
      x1: 4,
      x2: WIDTH - 4,
      y1: middle,
      y2: middle,
      stroke: "var(--line)",
      "stroke-width": 1,
    }),
    svg("line", {
      x1: WIDTH / 2,
      x2: WIDTH / 2,
      y1: 1,
      y2: HEIGHT - 1,
      stroke: "var(--line-strong)",
      "stroke-width": 1,
    }),
  ];
  if (hasEnds(ratio)) {
    const [left, right] = [at(low), at(high)];
    parts.push(
      svg("rect", {
        x: left,
        y: middle - 4,
        width: Math.max(right - left, 1),
        height: 8,
        fill: "currentColor",
        "fill-opacity": 0.28,
      }),
      svg("path", {
        d: `M${left} ${middle - 5}V${middle + 5}M${right} ${middle - 5}V${middle + 5}`,
        stroke: "currentColor",
        "stroke-width": 1.4,
      }),
    );
  }
  parts.push(
    svg("circle", {
      cx: at(estimate),
      cy: middle,
      r: 3.4,
      fill: hasEnds(ratio) ? "currentColor" : "var(--bg)",
      stroke: "currentColor",
      "stroke-width": 1.4,
    }),
  );
  const beyond = Math.abs(Math.log(estimate)) > end;
  if (beyond) {
    const side = estimate > 1 ? 1 : -1;
    const tip = WIDTH / 2 + side * (WIDTH / 2 - 1);
    parts.push(
      svg("path", {
        d: `M${tip - side * 5} ${middle - 4}L${tip} ${middle}L${tip - side * 5} ${middle + 4}`,
        fill: "none",
        stroke: "currentColor",
        "stroke-width": 1.4,
      }),
    );
  }
  return svg(
    "svg",
    { class: `bar ${tone}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    parts,
  );
}

/** The last values of a series as a line; gaps where there is no value. */
export function spark(values) {
  const numbers = values.filter(Number.isFinite);
  if (numbers.length < 2) return null;
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  // Noise of less than a per cent shall not look like a mountain range.
  const span = Math.max(high - low, Math.abs(high) * 0.05) || 1;
  const base = (low + high) / 2 - span / 2;
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) {
      pen = "M";
      return;
    }
    path += `${pen}${((index / (values.length - 1)) * 108 + 1).toFixed(1)} ${(20 - ((value - base) / span) * 18).toFixed(1)}`;
    pen = "L";
  });
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 110 22", "aria-hidden": "true" },
    svg("path", { d: path, fill: "none", stroke: "var(--s0)", "stroke-width": 1.3 }),
  );
}
