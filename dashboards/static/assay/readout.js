// What lies under the cursor, in words: every chosen series at one commit, with links to its runs.

import { el, valued } from "./dom.js";
import { moment, short } from "./format.js";
import { commitAt, intervalAt, QUANTITIES } from "./history_data.js";
import { runLink } from "./history_table.js";
import { badge, named, swatch } from "./marks.js";

/**
 * @param {any[]} chosen
 * @param {any[]} commits
 * @param {Float64Array} xs
 */
export function readout(chosen, commits, xs) {
  const box = el("section", {
    class: "readout",
    "aria-live": "polite",
    "aria-label": "At the cursor",
  });
  const show = (i, near) => {
    const x = xs[i];
    const { hash, time, subject } = commitAt(commits, x);
    box.replaceChildren(
      el("p", null, el("code", null, short(hash))),
      el("p", { class: "muted" }, `${moment(time)} UTC`),
      el("p", null, subject),
      el(
        "ul",
        null,
        chosen.map((one) => series(one, x, one.slot === near)),
      ),
    );
  };
  return { box, show };
}

function series(one, x, near) {
  const events = one.full.events.filter((event) => event.x === x);
  const rows = QUANTITIES.flatMap(({ key, name }) => {
    const values = one.full.quantities[key];
    const point = values ? values.x.indexOf(x) : -1;
    return point < 0 ? [] : [{ name, values, point }];
  });
  const run = rows.length ? rows[0].values.run[rows[0].point] : events[0]?.run;
  const environment = rows.length ? one.full.envs[rows[0].values.env[rows[0].point]]?.[0] : null;
  const nothing = !rows.length && !events.length;
  return el(
    "li",
    { class: near ? "near" : null, "aria-current": near ? "true" : null },
    el(
      "p",
      null,
      swatch(one.slot),
      ` ${one.entry.label} `,
      run === undefined ? null : runLink(one, run, "open run"),
    ),
    rows.length
      ? el(
          "dl",
          null,
          rows.map(({ name, values, point }) => [
            el("dt", null, name),
            el("dd", null, valued(intervalAt(values, point), values.unit)),
          ]),
        )
      : null,
    environment ? el("p", { class: "muted" }, `environment ${environment}`) : null,
    events.map((event) =>
      el(
        "p",
        null,
        badge(event.outcome),
        event.quantity ? ` ${named(event.quantity)}` : "",
        el("small", null, ` ${event.reason}`),
      ),
    ),
    nothing ? el("p", { class: "muted" }, "not measured at this commit") : null,
  );
}
