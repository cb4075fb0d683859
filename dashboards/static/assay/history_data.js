// Lines up the chosen series of one workload on one commit axis.

import { counted, intervalText, change, isInterval, short } from "./format.js";

export const QUANTITIES = [
  { key: "time", name: "Time", height: 250 },
  { key: "peak_memory", name: "Peak memory", height: 180 },
  { key: "energy", name: "Energy", height: 180 },
];

/** Outcomes that break a line: the commit was tried and there is no number. */
const BREAKS = new Set([
  "failed",
  "crashed",
  "out_of_memory",
  "timeout",
  "impossible",
  "unresolvable",
]);

/**
 * @typedef {{slot: number, entry: any, full: any}} Chosen a series' row of the index and its file
 * @typedef {{y: any[], low: any[], high: any[], at: Int32Array}} Column `at` is the point's index, or -1
 */

/** All places on the axis at which any of the series has a point or an event, in order. */
export function places(chosen) {
  const found = new Set();
  for (const { full } of chosen) {
    for (const { key } of QUANTITIES) for (const x of full.quantities[key]?.x ?? []) found.add(x);
    for (const { x } of full.events) found.add(x);
  }
  return Float64Array.from(found).sort();
}

/**
 * One series' values of a quantity at these places: null breaks the line, undefined does not.
 * @returns {Column}
 */
export function column({ full }, quantity, xs, relative) {
  const values = full.quantities[quantity];
  const size = xs.length;
  const [y, low, high] = [new Array(size), new Array(size), new Array(size)];
  const at = new Int32Array(size).fill(-1);
  const index = new Map(Array.from(xs, (x, i) => [x, i]));
  for (const event of full.events) {
    if (BREAKS.has(event.outcome) && (event.quantity === null || event.quantity === quantity)) {
      const i = index.get(event.x);
      y[i] = low[i] = high[i] = null;
    }
  }
  const unit = relative ? values?.y[0] || 1 : 1;
  const ends = (value) => (Number.isFinite(value) ? value / unit : null);
  values?.x.forEach((x, point) => {
    const i = index.get(x);
    at[i] = point;
    y[i] = values.y[point] / unit;
    low[i] = ends(values.low[point]);
    high[i] = ends(values.high[point]);
  });
  return { y, low, high, at };
}

/** A value with its interval as the files hold it. */
export function intervalAt(values, point) {
  return [values.y[point], values.low[point], values.high[point]];
}

/** Where a series' environment changes: halfway between its last and its next point. */
export function environmentChanges(chosen, quantity = "time") {
  const found = new Map();
  for (const { full } of chosen) {
    const values = full.quantities[quantity];
    if (!values) continue;
    for (let point = 1; point < values.x.length; point++) {
      if (values.env[point] === values.env[point - 1]) continue;
      const x = (values.x[point] + values.x[point - 1]) / 2;
      const [id, text] = full.envs[values.env[point]] ?? ["", ""];
      found.set(`${x} ${text || id}`, {
        x,
        text: text || `environment ${id}`,
        at: values.x[point],
      });
    }
  }
  return [...found.values()].sort((a, b) => a.x - b.x);
}

/** The commit at a place of the axis: later measurements of a commit lie a fraction behind it. */
export function commitAt(commits, x) {
  const [hash = "", time = NaN, subject = ""] = commits[Math.floor(x + 1e-9)] ?? [];
  return { hash, time, subject };
}

/** What a chart shows, for those who do not see it. */
export function described(chosen, { key, name }, commits) {
  const parts = chosen.map(({ entry, full }) => {
    const values = full.quantities[key];
    const count = values?.x.length ?? 0;
    if (!count)
      return `${entry.label}: no values, ${entry.quantities[key]?.status ?? "not measured"}`;
    const changed = full.findings
      .filter((one) => one.quantity === key)
      .map((one) => {
        const size = isInterval(one.ratio) ? ` ${change(one.ratio, key).value}` : "";
        return `${one.verdict || one.kind}${size} at ${short(commitAt(commits, one.x).hash)}`;
      });
    const last = intervalText(intervalAt(values, count - 1), values.unit);
    const first = short(commitAt(commits, values.x[0]).hash);
    return (
      `${entry.label}: ${counted(count, "point")} from ${first} to ${short(commitAt(commits, values.x[count - 1]).hash)}, last ${last}` +
      (changed.length ? `; ${changed.join(", ")}` : "; no findings")
    );
  });
  return `${name} of ${counted(chosen.length, "series", "series")} over the commits. ${parts.join(". ")}.`;
}
