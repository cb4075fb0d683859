// What has no number: failures, skipped cases, and quantities that a device cannot measure.

import { device, href } from "./data.js";
import { el, folded, limited, table } from "./dom.js";
import { age, counted } from "./format.js";
import { badge, named } from "./marks.js";
import { nothing } from "./shell.js";

/** Failures first, open; what was skipped is folded unless it is new. */
export function missing(site, data) {
  const failed = data.missing.filter((one) => one.outcome !== "skipped");
  const skipped = data.missing.filter((one) => one.outcome === "skipped");
  const heading = el(
    "h2",
    { id: "failures" },
    "Failures",
    el("small", null, "latest run of every case on every device"),
  );
  const nodes = [heading];
  if (failed.length) nodes.push(rows("Cases whose latest run failed", failed, site, data));
  else
    nodes.push(nothing("No case fails: the latest run of every case ended well or was skipped."));
  nodes.push(el("h2", null, "Skipped", el("small", null, "could not run there")));
  if (skipped.length) {
    const fresh = skipped.filter((one) => one.new);
    const known = skipped.filter((one) => !one.new);
    if (fresh.length) nodes.push(rows("Cases that are newly skipped", fresh, site, data));
    if (known.length) {
      const count = known.reduce((sum, one) => sum + one.count, 0);
      const title = `${counted(count, "case")} skipped for ${counted(known.length, "reason")}, none new`;
      nodes.push(
        folded(title, () => rows("Skipped cases", known, site, data), {
          name: "skipped",
          open: known.length <= 4,
        }),
      );
    }
  } else {
    nodes.push(nothing("Nothing was skipped."));
  }
  return nodes;
}

export function notMeasured(site, data) {
  if (!data.unavailable.length) return [];
  const columns = [
    { head: "Quantity", cell: (one) => named(one.quantity), kind: "head" },
    { head: "Status", cell: (one) => badge(one.status) },
    { head: "Device", cell: (one) => device(site, one.device).name },
    { head: "Cases", cell: (one) => one.count, kind: "num" },
    { head: "Reason", cell: (one) => one.reason || "no reason was given" },
  ];
  return [
    el(
      "h2",
      null,
      "Not measured",
      el("small", null, "the case ran well, this quantity has no value"),
    ),
    table("Quantities without a value", columns, data.unavailable),
  ];
}

function rows(caption, groups, site, data) {
  const columns = [
    {
      head: "Outcome",
      cell: (one) => [badge(one.outcome), one.new ? [" ", badge("new", "new")] : null],
    },
    {
      head: "Device",
      cell: (one) =>
        el("span", { title: device(site, one.device).title }, device(site, one.device).name),
    },
    { head: "Cases", cell: (one) => one.count, kind: "num" },
    {
      head: "Reason",
      cell: (one) => el("span", { class: "reason" }, one.reason || "no reason was given"),
    },
    {
      head: "Since",
      cell: (one) => age(one.since, data.as_of).replace("just now", "the newest run"),
      kind: "nowrap",
    },
    { head: "Evidence", cell: (one) => cases(one, site) },
  ];
  return table(caption, columns, groups);
}

function cases(group, site) {
  const one = (entry) => {
    const workload =
      site.workloads.find(({ slug }) => slug === entry.workload)?.name ?? entry.workload;
    return el(
      "li",
      null,
      el(
        "a",
        { href: href("run.html", { run: entry.run, case: entry.case }) },
        `${workload} ${entry.label}`,
      ),
    );
  };
  const list = limited(group.cases, 3, one, el("ul"));
  const more = group.count - group.cases.length;
  return more > 0 ? [list, el("small", null, `and ${more} more`)] : list;
}
