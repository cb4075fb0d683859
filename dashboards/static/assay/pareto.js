// Time against energy of the variants on all devices: what is best at both.

import { device, href } from "./data.js";
import { el, folded, table, valued } from "./dom.js";
import { intervalText, isInterval } from "./format.js";
import { badge, swatch } from "./marks.js";
import { scatter } from "./scatter.js";

/**
 * @param {any} group
 * @param {any[]} devices
 * @param {Map<string, number>} slots of the devices' colours
 */
export function pareto(group, devices, site, slots) {
  const heading = el(
    "h3",
    null,
    "Energy against time",
    el("small", null, `per ${group.item}; lower left is better`),
  );
  const cells = group.rows
    .filter((row) => !row.best)
    .flatMap((row) =>
      Object.entries(row.cells).map(([id, cell]) => ({ id, cell, variant: row.variant })),
    );
  const both = cells.filter(
    ({ cell }) =>
      isInterval(cell.time) && isInterval(cell.energy) && cell.time[0] > 0 && cell.energy[0] > 0,
  );
  if (!both.length) return { nodes: [heading, without(devices, cells, site)], mounted: null };
  const spots = both.map(({ id, cell, variant }) => ({
    x: cell.time,
    y: cell.energy,
    slot: slots.get(id),
    text: variant,
    said: `${variant} on ${device(site, id).name}: ${intervalText(cell.time, "s")}, ${intervalText(cell.energy, "J")}`,
    address: href("run.html", { run: cell.run, case: cell.case }),
  }));
  const best = frontier(both);
  const lines = best
    .slice(1)
    .map((one, index) => ({ from: at(best[index]), to: at(one), text: "", dash: [4, 4] }));
  const { node, mounted } = scatter({
    title: null,
    spots,
    lines,
    x: { name: `time per ${group.item}`, unit: "s" },
    y: { name: `energy per ${group.item}`, unit: "J" },
    summary: `Energy against time of ${spots.length} cases; best at both: ${best.map(({ variant, id }) => `${variant} on ${device(site, id).name}`).join(", ")}`,
  });
  const columns = [
    { head: "Variant", cell: ({ variant }) => variant, kind: "head" },
    { head: "Device", cell: ({ id }) => [swatch(slots.get(id)), ` ${device(site, id).name}`] },
    { head: "Time", cell: ({ cell }) => valued(cell.time, "s") },
    { head: "Energy", cell: ({ cell }) => valued(cell.energy, "J") },
    {
      head: "Best at both",
      cell: (one) => (best.includes(one) ? "yes, nothing is faster with less energy" : "no"),
    },
  ];
  const missing = devices.filter(({ id }) => !both.some((one) => one.id === id));
  const nodes = [
    heading,
    node,
    folded("Table of energy and time", () => table("Energy and time", columns, both)),
    missing.length ? without(missing, cells, site) : null,
  ].filter(Boolean);
  return { nodes, mounted };
}

/** What no other case beats at both, the fastest first. */
function frontier(cases) {
  const order = [...cases].sort(
    (a, b) => a.cell.time[0] - b.cell.time[0] || a.cell.energy[0] - b.cell.energy[0],
  );
  let least = Infinity;
  return order.filter(({ cell }) => {
    if (cell.energy[0] >= least) return false;
    least = cell.energy[0];
    return true;
  });
}

function at({ cell }) {
  return [cell.time[0], cell.energy[0]];
}

function without(devices, cells, site) {
  const items = devices.map(({ id, energy }) => {
    const own = cells.find(
      (one) => one.id === id && one.cell.energy_status && !isInterval(one.cell.energy),
    );
    const failed = cells.find((one) => one.id === id && one.cell.outcome !== "ok");
    const reason =
      own?.cell.energy_reason ||
      (energy !== "measured" && energy) ||
      failed?.cell.reason ||
      "no case of this group has a value";
    return el(
      "li",
      null,
      badge(own?.cell.energy_status || "unavailable"),
      ` ${device(site, id).name}: ${reason}`,
    );
  });
  return el(
    "div",
    null,
    el("p", { class: "nothing" }, "Energy has no value here:"),
    el("ul", { class: "nothing" }, items),
  );
}
