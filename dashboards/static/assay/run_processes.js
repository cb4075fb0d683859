// The processes of a case: verification, logs, environment.

import { load } from "./data.js";
import { el, folded, table } from "./dom.js";
import { differing, factsTable, flat } from "./facts.js";
import { counted, duration, moment, number, quantity } from "./format.js";
import { badge } from "./marks.js";
import { nothing, problem } from "./shell.js";
/** How each process went, and what all of them did. */
export function processes(one) {
  const verified = ({ verification }) => {
    if (!verification) return "none";
    const { error, tolerance, passed, reference, detail } = verification;
    const size = error === null ? "not finite" : number(error, 2);
    return [
      badge(passed ? "ok" : "failed", passed ? "passed" : "rejected"),
      ` error ${size}, tolerance ${number(tolerance, 2)}`,
      el("small", { class: "range below" }, `${reference}${detail ? `; ${detail}` : ""}`),
    ];
  };
  const lines = (facts) =>
    Object.entries(flat(facts ?? {}))
      .filter(([, value]) => value !== "none")
      .map(([name, value]) => el("p", null, `${name}: ${value}`));
  const seconds = (spans) =>
    Object.entries(spans ?? {}).map(([name, value]) =>
      el("p", { class: "nowrap" }, `${name}: ${duration(value)}`),
    );
  const columns = [
    { head: "Process", cell: ({ process }) => process, kind: "head" },
    {
      head: "Outcome",
      cell: ({ outcome, reason, phase }) => [
        badge(outcome),
        reason ? el("p", null, reason) : null,
        outcome === "ok" ? null : el("small", null, `in the phase ${phase}`),
      ],
    },
    {
      head: "Took",
      cell: ({ duration_s: took, started_at: at }) => [
        duration(took),
        el("small", { class: "range below" }, `from ${moment(at)}`),
      ],
      kind: "nowrap",
    },
    { head: "Verification", cell: verified },
    { head: "Phases", cell: ({ spans }) => seconds(spans) },
    { head: "Counters", cell: ({ counters }) => lines(counters) },
    {
      head: "Quality",
      cell: ({ quality }) =>
        quality
          ? [lines(quality.values), quality.detail ? el("small", null, quality.detail) : null]
          : "",
    },
    { head: "Flags", cell: ({ flags: own }) => own.join(", ") },
  ];
  const [first] = one.processes;
  const profiles = one.processes.filter(({ profile }) => profile);
  return [
    el(
      "h2",
      null,
      "Processes",
      el("small", null, "each a fresh one; the interval speaks of these"),
    ),
    table("Processes", columns, one.processes),
    folded("Declared work and input", () => [
      first.work ? work(first.work) : nothing("The workload declares no work."),
      Object.keys(first.inputs ?? {}).length
        ? factsTable("Input", first.inputs)
        : nothing("Nothing is known of the input."),
    ]),
    ...profiles.map(({ process, profile }) =>
      folded(`Profile of process ${process}`, () =>
        factsTable(`Profile of process ${process}`, profile),
      ),
    ),
  ];
}

function work({ items, item, flops, bytes, working_set_bytes: size }) {
  const rows = [
    ["Items", `${number(items)} of ${item}`],
    ...Object.entries(flops ?? {}).map(([type, count]) => [
      `Operations in ${type}`,
      quantity(count, "FLOP"),
    ]),
    ...Object.entries(bytes ?? {}).map(([level, count]) => [
      `Moved: ${level}`,
      quantity(count, "B"),
    ]),
    ["Working set", Number.isFinite(size) ? quantity(size, "B") : "not declared"],
  ];
  return table(
    "Declared work of a step",
    [
      { head: "Of a step", cell: ([name]) => name, kind: "head" },
      { head: "Declared", cell: ([, text]) => text, kind: "num" },
    ],
    rows,
  );
}

/** What the workers printed, and where they failed. */
export function logs(one) {
  const found = one.processes.filter(({ log_tail: log, traceback }) => log || traceback);
  if (!found.length) return [];
  return [
    el("h2", null, "Log and traceback", el("small", null, "the end of what each worker printed")),
    ...found.map(({ process, log_tail: log, traceback, outcome }) =>
      folded(
        `Process ${process}${traceback ? ", with a traceback" : ""}`,
        () => [
          traceback
            ? [
                el("h3", null, "Traceback"),
                el(
                  "pre",
                  { tabindex: 0, "aria-label": `Traceback of process ${process}` },
                  traceback,
                ),
              ]
            : null,
          log
            ? [
                el("h3", null, "Log"),
                el("pre", { tabindex: 0, "aria-label": `Log of process ${process}` }, log),
              ]
            : null,
        ],
        { open: outcome !== "ok" },
      ),
    ),
  ];
}

/** The environment, what differs among the processes, and on request what differs from before. */
export function environments(one, full, entry, runs) {
  const used = [...new Set(one.processes.map(({ environment }) => environment))]
    .map((index) => full.environments[index])
    .filter(Boolean);
  if (!used.length) return [];
  const place = el("div", null, factsTable("Environment", used[0]));
  const all = folded("All facts", () => place);
  const nodes = [
    el(
      "h2",
      null,
      "Environment",
      used.length > 1 ? el("small", null, counted(used.length, "environment")) : null,
    ),
  ];
  used.slice(1).forEach((other, index) => {
    const names = differing(used[0], other);
    nodes.push(
      el("p", null, `Process environments differ in ${names.join(", ")}.`),
      folded(`Differences of environment ${index + 2}`, () =>
        factsTable("Differences", other, used[0], "first"),
      ),
    );
  });
  const before = runs
    .slice(runs.indexOf(entry) + 1)
    .find(({ machine }) => machine === entry.machine);
  if (before) {
    const button = el(
      "button",
      { type: "button", click: () => compare() },
      "Compare with the machine's run before",
    );
    const compare = async () => {
      button.disabled = true;
      try {
        const other = await load("runs", before.file);
        const facts = other.environments[0] ?? {};
        const names = differing(used[0], facts);
        place.replaceChildren(
          el(
            "p",
            { role: "status" },
            names.length
              ? `${counted(names.length, "fact")} differ from ${before.id}.`
              : `Nothing differs from ${before.id}.`,
          ),
          factsTable("Environment and the one before", used[0], facts, "Run before"),
        );
        all.open = true;
      } catch (error) {
        place.prepend(problem(error));
      }
    };
    nodes.push(el("p", null, button));
  }
  return [...nodes, all];
}
