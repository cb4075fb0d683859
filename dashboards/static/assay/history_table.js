// The numbers behind a chart, and what the detector found in the chosen series.

import { href } from "./data.js";
import { el, folded, table } from "./dom.js";
import { change, day, hasEnds, intervalText, isInterval, short } from "./format.js";
import { commitAt, environmentChanges, intervalAt, QUANTITIES } from "./history_data.js";
import { badge, named, swatch } from "./marks.js";
import { toneOf } from "./changes.js";

const MOST_ROWS = 300;

/** The values in the window, newest first; made when it is opened. */
export function valuesTable(quantity, chosen, commits, xs, range) {
  return folded(`Table of ${quantity.name.toLowerCase()}`, () => {
    const [low, high] = range();
    const rows = chosen.flatMap((one) => [
      ...values(one, quantity.key),
      ...happened(one, quantity.key),
    ]);
    const seen = rows
      .filter(({ x }) => x >= low && x <= high)
      .sort((a, b) => b.x - a.x || a.one.slot - b.one.slot);
    const note =
      seen.length > MOST_ROWS
        ? `The newest ${MOST_ROWS} of ${seen.length} values in the window; zoom in for others.`
        : null;
    const columns = [
      {
        head: "Commit",
        cell: ({ x }) => el("code", null, short(commitAt(commits, x).hash)),
        kind: "head",
      },
      { head: "Date", cell: ({ x }) => day(commitAt(commits, x).time), kind: "nowrap" },
      { head: "Series", cell: ({ one }) => [swatch(one.slot), ` ${one.entry.label}`] },
      { head: quantity.name, cell: ({ text }) => text },
      { head: "Processes", cell: ({ processes }) => processes ?? "", kind: "num" },
      { head: "Environment", cell: ({ environment }) => environment ?? "" },
      { head: "Run", cell: ({ one, run }) => runLink(one, run) },
    ];
    return [
      note ? el("p", { class: "muted" }, note) : null,
      table(`${quantity.name} of the chosen series`, columns, seen.slice(0, MOST_ROWS)),
    ];
  });
}

function values(one, key) {
  const found = one.full.quantities[key];
  return (found?.x ?? []).map((x, point) => ({
    one,
    x,
    text: intervalText(intervalAt(found, point), found.unit),
    processes: found.processes[point],
    environment: one.full.envs[found.env[point]]?.[0],
    run: found.run[point],
  }));
}

function happened(one, key) {
  return one.full.events
    .filter(({ quantity }) => quantity === null || quantity === key)
    .map((event) => ({
      one,
      x: event.x,
      text: [badge(event.outcome), ` ${event.reason}`],
      run: event.run,
    }));
}

/** The page of the run in which a value was measured. */
export function runLink({ full }, run, text = "run") {
  const [id] = full.runs[run] ?? [];
  return id ? el("a", { href: href("run.html", { run: id, case: full.case }) }, text) : "";
}

/** What the detector found, newest first, and how the environments differ. */
export function findingsTable(chosen, commits) {
  const all = chosen.flatMap((one) => one.full.findings.map((finding) => ({ one, finding })));
  const rows = all.filter(({ finding }) => !harmless(finding));
  return [found(rows, commits), ...environments(chosen, commits, all.length - rows.length)];
}

/** An environment that may have moved nothing: its interval holds 1. */
export function harmless({ kind, ratio }) {
  return kind === "environment" && !(hasEnds(ratio) && (ratio[1] > 1 || ratio[2] < 1));
}

function environments(chosen, commits, still) {
  const changes = environmentChanges(chosen);
  if (!changes.length) return [];
  const items = changes.map(({ at, text }) =>
    el("li", null, badge("environment"), " ", ...commit(commits, at), ` ${text}`),
  );
  const note = still ? `${still} of the series' quantities did not move with it.` : null;
  return [
    el("ul", { class: "environments", "aria-label": "Environment changes" }, items),
    note ? el("p", { class: "muted" }, note) : null,
  ];
}

function found(rows, commits) {
  if (!rows.length)
    return el(
      "p",
      { class: "nothing" },
      "No step, drift or spike was found. Of fewer than 12 points nothing is ever told.",
    );
  rows.sort((a, b) => b.finding.x - a.finding.x);
  const name = (key) => QUANTITIES.find((quantity) => quantity.key === key)?.name ?? named(key);
  const columns = [
    { head: "Finding", cell: ({ finding }) => badge(finding.verdict || finding.kind) },
    { head: "Series", cell: ({ one }) => [swatch(one.slot), ` ${one.entry.label}`] },
    { head: "Quantity", cell: ({ finding }) => name(finding.quantity) },
    { head: "Commit", cell: ({ finding }) => commit(commits, finding.x) },
    { head: "Change", cell: ({ finding }) => size(finding) },
    { head: "Note", cell: ({ finding }) => finding.note },
  ];
  return table("Findings in the chosen series", columns, rows);
}

function commit(commits, x) {
  const { hash, time, subject } = commitAt(commits, x);
  return [el("code", null, short(hash)), ` ${day(time)} `, el("small", null, subject)];
}

function size(finding) {
  if (!isInterval(finding.ratio)) return "";
  const { value, range } = change(finding.ratio, finding.quantity);
  return [el("b", { class: toneOf(finding) }, value), " ", el("span", { class: "range" }, range)];
}
