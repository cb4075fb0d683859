// The list of runs, the cases of one run, or one case in full.

import { href, load } from "./data.js";
import { el, table, valued } from "./dom.js";
import { age, counted, isInterval, moment, short } from "./format.js";
import { badge } from "./marks.js";
import { found, nothing, run } from "./shell.js";
import { runCase } from "./run_case.js";

const ROWS = 100;

run(async (site, given) => {
  const { runs } = await load("runs");
  if (!given.get("run")) return list(runs, site);
  const entry = found(runs, given.get("run"), (one) => one.id, "run");
  const full = await load("runs", entry.file);
  if (!given.get("case")) return cases(entry, full, runs);
  const keys = Object.keys(full.cases);
  const key = found(keys, given.get("case"), (one) => one, "case in this run");
  const one = full.cases[key];
  return { title: `${one.workload} ${one.label}`, ...runCase(one, key, full, entry, runs) };
});

function list(runs, site) {
  const title = "Runs";
  if (!runs.length)
    return {
      title,
      nodes: [el("h1", null, title), nothing("Nothing has run yet; `assay run` measures.")],
    };
  const place = el("div");
  const state = el("p", { class: "muted", role: "status" });
  const filter = el("input", {
    type: "search",
    placeholder: "Filter: machine, commit, date …",
    "aria-label": "Show runs that contain",
    input: () => show(ROWS),
  });
  const columns = [
    {
      head: "Run",
      cell: (one) => el("a", { href: href("run.html", { run: one.id }) }, one.id),
      kind: "head",
    },
    {
      head: "At (UTC)",
      cell: (one) => [
        moment(one.at),
        el("small", null, ` ${age(one.at, site.as_of).replace("just now", "newest")}`),
      ],
      kind: "nowrap",
    },
    { head: "Machine", cell: (one) => one.machine },
    {
      head: "Commit",
      cell: (one) => [
        el("code", null, short(one.commit)),
        one.dirty ? [" ", badge("dirty", "dirty")] : null,
      ],
      kind: "nowrap",
    },
    { head: "Cases", cell: (one) => one.cases, kind: "num" },
    { head: "Ok", cell: (one) => one.ok, kind: "num" },
    {
      head: "Failed",
      cell: (one) => (one.failed ? el("b", { class: "worse" }, one.failed) : "0"),
      kind: "num",
    },
    { head: "Skipped", cell: (one) => one.skipped, kind: "num" },
  ];
  const text = new Map(
    runs.map((one) => [
      one,
      `${one.id} ${moment(one.at)} ${one.machine} ${one.commit} ${one.dirty ? "dirty" : ""}`.toLowerCase(),
    ]),
  );
  const show = (most) => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((one) => words.every((word) => text.get(one).includes(word)));
    state.textContent = `${shown.length} of ${counted(runs.length, "run")}, newest first`;
    place.replaceChildren(table("Runs", columns, shown.slice(0, most)));
    if (shown.length > most)
      place.append(
        el(
          "button",
          { type: "button", class: "more", click: () => show(shown.length) },
          `Show all ${shown.length}`,
        ),
      );
  };
  show(ROWS);
  return {
    title,
    nodes: [el("h1", null, title), el("p", { class: "controls" }, filter, state), place],
  };
}

function cases(entry, full, runs) {
  const rank = { failed: 0, crashed: 0, out_of_memory: 0, timeout: 0, ok: 1, skipped: 2 };
  const rows = Object.entries(full.cases).sort(
    ([, a], [, b]) =>
      (rank[a.outcome] ?? 0) - (rank[b.outcome] ?? 0) || a.workload.localeCompare(b.workload),
  );
  const value = (one, name) => {
    const headline = one.headlines[name];
    if (one.outcome !== "ok") return "";
    if (isInterval(headline?.interval)) return valued(headline.interval, headline.unit);
    return headline ? badge(headline.status === "measured" ? "unavailable" : headline.status) : "";
  };
  const columns = [
    {
      head: "Case",
      cell: ([key, one]) =>
        el(
          "a",
          { href: href("run.html", { run: entry.id, case: key }) },
          el("b", null, one.workload),
          ` ${one.label}`,
        ),
      kind: "head",
    },
    { head: "Backend", cell: ([, one]) => one.backend },
    {
      head: "Outcome",
      cell: ([, one]) => [
        badge(one.outcome),
        one.reason ? el("p", { class: "why" }, one.reason) : null,
      ],
    },
    { head: "Time", cell: ([, one]) => value(one, "time") },
    { head: "Peak memory", cell: ([, one]) => value(one, "peak_memory") },
    { head: "Energy", cell: ([, one]) => value(one, "energy") },
    { head: "Per", cell: ([, one]) => one.item ?? "" },
    { head: "Processes", cell: ([, one]) => one.processes.length, kind: "num" },
    { head: "Flags", cell: ([, one]) => one.flags.join(", ") },
  ];
  const at = runs.indexOf(entry);
  const [newer, older] = [runs[at - 1], runs[at + 1]];
  return {
    title: entry.id,
    nodes: [
      el("h1", null, entry.id),
      el(
        "p",
        { class: "lead" },
        `${moment(entry.at)} UTC on ${entry.machine}, commit `,
        el("code", null, short(entry.commit)),
        entry.dirty ? [" ", badge("dirty", "dirty checkout: not in the histories")] : null,
      ),
      el(
        "p",
        { class: "lead" },
        `${counted(entry.cases, "case")}: ${entry.ok} ok, ${entry.failed} failed, ${entry.skipped} skipped.`,
      ),
      el(
        "p",
        { class: "controls" },
        el("a", { href: "run.html#" }, "All runs"),
        older ? el("a", { href: href("run.html", { run: older.id }) }, "Run before") : null,
        newer ? el("a", { href: href("run.html", { run: newer.id }) }, "Run after") : null,
      ),
      table("Cases of this run", columns, rows),
    ],
  };
}
