// One case of one run in full.

import { href } from "./data.js";
import { el, svg, table } from "./dom.js";
import { factor, interval, isInterval, moment, percent, quantity, short } from "./format.js";
import { badge, named } from "./marks.js";
import { environments, logs, processes } from "./run_processes.js";
import { samples } from "./samples.js";
import { nothing } from "./shell.js";
import { FLAGS, OUTCOMES, STATUSES } from "./words.js";

const ORDER = ["time", "peak_memory", "energy"];

/**
 * @param {any} one the case
 * @param {any} full the run
 * @param {any} entry the run's line in the list of runs
 * @param {any[]} runs
 */
export function runCase(one, key, full, entry, runs) {
  const drawn = one.outcome === "ok" ? quantities(one) : [];
  const nodes = [
    el(
      "h1",
      null,
      `${one.workload} ${one.label}`,
      " ",
      el("small", null, `on ${one.backend}, version ${one.version}, seed ${one.seed}`),
    ),
    el(
      "p",
      { class: "lead" },
      badge(one.outcome),
      ` ${told(one)}. `,
      el("a", { href: href("run.html", { run: full.id }) }, full.id),
      ` at ${moment(entry.at)} UTC on ${entry.machine}, commit `,
      el("code", null, short(entry.commit)),
      entry.dirty ? [" ", badge("dirty", "dirty checkout")] : null,
      one.slug && one.series
        ? [
            " · ",
            el(
              "a",
              { href: href("workload.html", { w: one.slug, s: one.series, at: entry.commit }) },
              "its history",
            ),
          ]
        : null,
    ),
    one.reason ? el("p", { class: one.outcome === "ok" ? "lead" : "problem" }, one.reason) : null,
    one.outcome === "ok" ? headlines(one) : nothing("It did not end well, so it has no number."),
    flags(one),
    ...drawn.flatMap(({ node }) => [node]),
    ...noValues(one),
    ...shares(one),
    ...processes(one),
    ...logs(one),
    ...environments(one, full, entry, runs),
  ].filter(Boolean);
  const mounted = () => {
    const cleaners = drawn.map(({ mounted: draw }) => draw());
    return () => cleaners.forEach((clean) => clean());
  };
  return { nodes, mounted };
}

function headlines(one) {
  const rank = ([name]) => ORDER.indexOf(name) + 1 || ORDER.length + 1;
  const tiles = Object.entries(one.headlines)
    .sort((a, b) => rank(a) - rank(b))
    .map(([name, { interval: value, unit, status, reason }]) => {
      const per =
        one.item && name !== "peak_memory" ? `${named(name)} per ${one.item}` : named(name);
      if (!isInterval(value))
        return el(
          "li",
          null,
          el("span", { class: "label" }, per),
          el("p", null, badge(status === "measured" ? "unavailable" : status)),
          el("small", null, reason),
        );
      const { value: text, range } = interval(value, unit);
      const how = status && status !== "measured" ? ` (${STATUSES[status] ?? status})` : "";
      return el(
        "li",
        null,
        el("span", { class: "label" }, per),
        el("b", null, text),
        el("span", { class: "range" }, (range ? `95 %: ${range}` : "1 process, no interval") + how),
      );
    });
  const speedup = one.speedup;
  if (speedup) {
    const { value, range } = factor(speedup.ratio);
    tiles.push(
      el(
        "li",
        null,
        el("span", { class: "label" }, `speed-up against ${speedup.baseline}`),
        el("b", null, value),
        el("span", { class: "range" }, range ? `95 %: ${range}` : "no interval"),
      ),
    );
  }
  return el("ul", { class: "numbers", "aria-label": "Headline numbers" }, tiles);
}

function flags(one) {
  const all = new Set([
    ...one.flags,
    ...one.processes.flatMap((process) => [
      ...process.flags,
      ...process.measurements.flatMap((own) => own.flags),
    ]),
  ]);
  if (!all.size) return null;
  const items = [...all].map((flag) =>
    el(
      "li",
      null,
      badge("unavailable", flag),
      ` ${FLAGS[flag] ?? "The harness's documentation says what this flag means."}`,
    ),
  );
  return el("section", null, el("h2", null, "Noise and other flags"), el("ul", null, items));
}

function quantities(one) {
  const names = new Map();
  for (const { process, outcome, measurements } of one.processes) {
    if (outcome !== "ok") continue;
    for (const measurement of measurements) {
      if (!measurement.values.length) continue;
      const title =
        measurement.phase && measurement.phase !== "steady"
          ? `${measurement.quantity} (${measurement.phase})`
          : measurement.quantity;
      names.set(title, [...(names.get(title) ?? []), { process, measurement }]);
    }
  }
  return [...names].map(([name, taken]) =>
    samples(name, taken, one.headlines[name]?.interval ?? null),
  );
}

function noValues(one) {
  const found = new Map();
  for (const { measurements } of one.processes) {
    for (const { quantity: name, status, reason, values } of measurements) {
      if (!values.length) found.set(JSON.stringify([name, status, reason]), [name, status, reason]);
    }
  }
  if (!found.size) return [];
  const items = [...found.values()].map(([name, status, reason]) =>
    el("li", null, badge(status), ` ${named(name)}: ${reason || STATUSES[status] || ""}`),
  );
  return [el("h2", null, "Without a value"), el("ul", null, items)];
}

function shares(one) {
  if (!one.shares?.length) return [];
  const bar = ({ share }) =>
    svg(
      "svg",
      { class: "share", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: Math.max(0, Math.min(share, 1)) * 100, height: 8 }),
    );
  const columns = [
    { head: "Ceiling", cell: ({ name }) => name.replaceAll("_", " "), kind: "head" },
    { head: "Reached", cell: (share) => [bar(share), ` ${percent(share.share)}`] },
    { head: "Rate", cell: ({ rate, unit }) => (isInterval(rate) ? quantity(rate[0], unit) : "") },
    {
      head: "Ceiling's rate",
      cell: ({ ceiling, unit }) => (Number.isFinite(ceiling) ? quantity(ceiling, unit) : ""),
    },
    { head: "Measured with", cell: ({ method }) => method ?? "" },
  ];
  return [
    el(
      "h2",
      null,
      "Shares of ceilings",
      el("small", null, "of the most that the device was seen to do in this run"),
    ),
    table("Shares of ceilings", columns, one.shares),
  ];
}

function told(one) {
  if (one.flags.includes("imported")) return "measured by another tool, not verified";
  return OUTCOMES[one.outcome] ?? "";
}
