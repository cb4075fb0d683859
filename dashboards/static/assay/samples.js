// The samples of one quantity: in the order in which they were taken, and how they are spread.

import { colours, follow } from "./chart.js";
import { el, folded, table } from "./dom.js";
import { counted, hasEnds, number, quantity } from "./format.js";
import { mark, named } from "./marks.js";
import { ordered, spread } from "./sample_charts.js";
import { NOISE } from "./words.js";

/**
 * @param {string} name of the quantity
 * @param {{process: number, measurement: any}[]} taken one a process
 * @param {[number, number|null, number|null]|null} headline
 */
export function samples(name, taken, headline) {
  const unit = taken[0].measurement.unit;
  const values = taken.flatMap(({ measurement }) => measurement.values);
  const medians = taken.map(({ measurement }) => median(measurement.values));
  const disturbed = taken.reduce((sum, { measurement }) => sum + measurement.disturbed.length, 0);
  const text =
    `${counted(values.length, "sample")} of ${named(name)} in ${counted(taken.length, "process", "processes")}; medians ` +
    `${medians.map((value) => quantity(value, unit)).join(", ")}; ${disturbed} disturbed.`;
  const orderBox = el("div", { class: "plot", role: "img", "aria-label": `In order: ${text}` });
  const spreadBox = el("div", {
    class: "plot",
    role: "img",
    "aria-label": `Distribution: ${text}`,
  });
  const node = el(
    "div",
    null,
    el(
      "h3",
      null,
      named(name),
      el(
        "small",
        null,
        `${counted(values.length, "sample")}, ${counted(taken.length, "process", "processes")}`,
      ),
    ),
    el(
      "div",
      { class: "pair" },
      el(
        "figure",
        { class: "chart" },
        el(
          "figcaption",
          null,
          el("b", null, "In order"),
          el("small", null, "processes side by side; lines: their medians"),
        ),
        orderBox,
      ),
      el(
        "figure",
        { class: "chart" },
        el(
          "figcaption",
          null,
          el("b", null, "Distribution"),
          el("small", null, spreadText(headline)),
        ),
        spreadBox,
      ),
    ),
    disturbed
      ? el(
          "p",
          { class: "muted" },
          mark("disturbed"),
          ` ${counted(disturbed, "sample")} with something that disturbed ${disturbed === 1 ? "it" : "them"}`,
        )
      : null,
    folded(`Table of ${named(name)} by process`, () => [
      byProcess(name, unit, taken),
      sampleTable(unit, taken),
    ]),
  );
  const mounted = () => {
    let paint = colours();
    const charts = [
      ordered(orderBox, unit, taken, medians, headline, () => paint),
      spread(spreadBox, unit, taken, values, medians, headline, () => paint),
    ];
    return follow(
      () => charts,
      (now) => (paint = now),
    );
  };
  return { node, mounted };
}

function spreadText(headline) {
  return hasEnds(headline)
    ? "ticks: the processes' medians; band: the 95 % interval"
    : "ticks: the processes' medians; no interval";
}

function byProcess(name, unit, taken) {
  const columns = [
    { head: "Process", cell: ({ process }) => process, kind: "head" },
    {
      head: "Median",
      cell: ({ measurement }) => quantity(median(measurement.values), unit, 4),
      kind: "num",
    },
    {
      head: "Least",
      cell: ({ measurement }) => quantity(Math.min(...measurement.values), unit, 4),
      kind: "num",
    },
    {
      head: "Most",
      cell: ({ measurement }) => quantity(Math.max(...measurement.values), unit, 4),
      kind: "num",
    },
    {
      head: "Samples",
      cell: ({ measurement }) =>
        measurement.thinned
          ? `${measurement.values.length} of ${measurement.thinned}`
          : measurement.values.length,
      kind: "num",
    },
    {
      head: "Steps a sample",
      cell: ({ measurement }) => measurement.steps_per_sample,
      kind: "num",
    },
    { head: "Meter", cell: ({ measurement }) => `${measurement.meter}, ${measurement.scope}` },
    {
      head: "What disturbed them, in all",
      cell: ({ measurement }) =>
        measurement.noise
          .filter(([, total]) => total > 0)
          .map(([kind, total]) => el("p", null, noise(kind, total))),
    },
  ];
  return table(`${named(name)} by process`, columns, taken);
}

function sampleTable(unit, taken) {
  const rows = taken.flatMap(({ process, measurement }) =>
    measurement.values.map((value, i) => ({
      process,
      i,
      value,
      off: measurement.disturbed.includes(i),
    })),
  );
  const columns = [
    { head: "Process", cell: ({ process }) => process, kind: "num" },
    { head: "Sample", cell: ({ i }) => i, kind: "num" },
    { head: "Value", cell: ({ value }) => quantity(value, unit, 5), kind: "num" },
    { head: "Disturbed", cell: ({ off }) => (off ? "yes" : "") },
  ];
  return folded(`All ${rows.length} samples`, () => table("Samples", columns, rows));
}

function noise(kind, total) {
  const [text, unit] = NOISE[kind] ?? [named(kind), ""];
  return `${unit ? quantity(total, unit) : number(total)} ${text}`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
