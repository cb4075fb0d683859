// What the Workload page shows, read from its address and written back to it.

import { hash, remember } from "./data.js";
import { MOST_SERIES } from "./marks.js";

/** What the axis of values may be. */
export const SCALES = { fit: "fitted", zero: "from zero", log: "logarithmic" };

/** What the address asks for, as far as it exists. */
export function stateOf(given, index) {
  const ids = new Set(index.series.map((one) => one.id));
  const asked = (given.get("s") ?? "").split(",").filter(Boolean);
  const group = index.groups.some((one) => one.id === given.get("g")) ? given.get("g") : "";
  const chosen = asked.filter((id) => ids.has(id)).slice(0, MOST_SERIES);
  const first = group || (chosen.length ? "" : index.default);
  const at = index.commits.findIndex(([commit]) => commit === given.get("at"));
  const range = (given.get("x") ?? "").split(",").map(Number);
  return {
    unknown: asked.filter((id) => !ids.has(id)),
    lost: given.has("at") && at < 0 ? given.get("at") : "",
    group: first,
    series: chosen.length ? chosen : membersOf(index, first),
    quantity: given.get("q") ?? "",
    at: at < 0 ? null : at,
    range: range.length === 2 && range[1] > range[0] ? range : null,
    scale: Object.hasOwn(SCALES, given.get("y")) ? given.get("y") : "fit",
    relative: given.get("rel") === "1",
  };
}

/** The variants of a group: the baseline, then what has findings, then the rest. */
export function membersOf(index, group) {
  const rank = (one) => (one.baseline ? 0 : one.changes ? 1 : 2);
  const members = index.series.filter((one) => one.group === group);
  return members
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, MOST_SERIES)
    .map((one) => one.id);
}

/** The place, and so the colour, of each drawn series. */
export function slotsOf(state) {
  return new Map(state.series.map((id, slot) => [id, slot]));
}

/** Put what is shown into the address. */
export function save(slug, state) {
  const at = hash().get("at");
  remember({
    w: slug,
    g: state.group,
    s: state.group ? "" : state.series.join(","),
    q: state.quantity,
    at: state.at === null ? "" : at,
    x: state.range ? state.range.map((value) => value.toFixed(1)).join(",") : "",
    y: state.scale === "fit" ? "" : state.scale,
    rel: state.relative ? 1 : "",
  });
}
