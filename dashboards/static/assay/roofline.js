// The cases of a group on one device against what the device was seen to do at most.

import { device, href } from "./data.js";
import { el, folded, table, valued } from "./dom.js";
import { hasEnds, intervalText, isInterval, number, percent } from "./format.js";
import { named } from "./marks.js";
import { nothing } from "./shell.js";
import { scatter } from "./scatter.js";

/**
 * @param {any} group
 * @param {any} one the device, with its ceilings
 */
export function roofline(group, one, site, picker) {
  const name = device(site, one.id).name;
  const heading = el(
    "h3",
    null,
    "Roofline",
    el(
      "small",
      null,
      "work a second against work a byte; the lines are what the device was seen to do",
    ),
  );
  const cases = group.rows
    .filter((row) => !row.best)
    .map((row) => ({ variant: row.variant, cell: row.cells[one.id] }))
    .filter(({ cell }) => isInterval(cell?.roof?.flop_rate) && cell.roof.intensity > 0);
  const ceilings = (one.ceilings ?? []).filter(({ rate }) => isInterval(rate) && rate[0] > 0);
  const tables = [
    ceilings.length ? folded(`Ceilings of ${name}`, () => ceilingTable(ceilings)) : null,
  ];
  if (!cases.length) {
    const why = ceilings.length
      ? "No case of this group declares its work and bytes, or none was timed there."
      : "No ceiling of this device was measured.";
    return {
      nodes: [heading, picker, nothing(`${name}: ${why}`), ...tables.filter(Boolean)],
      mounted: null,
    };
  }
  const spots = cases.map(({ variant, cell }) => ({
    x: [cell.roof.intensity, null, null],
    y: cell.roof.flop_rate,
    slot: 0,
    text: variant,
    said: `${variant}: ${intervalText(cell.roof.flop_rate, "FLOP/s")} of ${cell.roof.dtype} at ${number(cell.roof.intensity)} FLOP a byte; ${percent(cell.roof.share)} of its ceiling (${cell.roof.level})`,
    address: href("run.html", { run: cell.run, case: cell.case }),
  }));
  const { node, mounted } = scatter({
    title: name,
    spots: spots.map((spot) => ({ ...spot, x: [spot.x[0], spot.x[0], spot.x[0]] })),
    lines: roofs(
      ceilings,
      cases.map(({ cell }) => cell.roof),
    ),
    x: { name: "FLOP a byte", unit: "" },
    y: { name: "FLOP a second", unit: "FLOP/s" },
    summary: `Roofline of ${name} with ${cases.length} cases: ${spots.map(({ said }) => said).join(". ")}`,
  });
  const columns = [
    { head: "Variant", cell: ({ variant }) => variant, kind: "head" },
    { head: "FLOP a second", cell: ({ cell }) => valued(cell.roof.flop_rate, "FLOP/s") },
    { head: "Bytes a second", cell: ({ cell }) => valued(cell.roof.byte_rate, "B/s") },
    { head: "FLOP a byte", cell: ({ cell }) => number(cell.roof.intensity), kind: "num" },
    { head: "Type", cell: ({ cell }) => cell.roof.dtype },
    { head: "Data in", cell: ({ cell }) => cell.roof.level },
    { head: "Share of its ceiling", cell: ({ cell }) => percent(cell.roof.share), kind: "num" },
  ];
  tables.unshift(
    folded("Table of the roofline", () => table(`Roofline of ${name}`, columns, cases)),
  );
  return { nodes: [heading, picker, node, ...tables.filter(Boolean)], mounted };
}

/** Slanted lines for memory up to the highest rate of work, level ones for that. */
function roofs(ceilings, roofOf) {
  const intensities = roofOf.map(({ intensity }) => intensity);
  const [left, right] = [Math.min(...intensities) / 20, Math.max(...intensities) * 20];
  const work = ceilings.filter(({ quantity }) => quantity === "flop_rate");
  const memory = ceilings.filter(({ quantity }) => quantity === "memory_rate");
  const top = Math.max(...work.map(({ rate }) => rate[0]), 0);
  const slanted = memory.map(({ rate, level, method }) => {
    const end = top > 0 ? Math.min(top / rate[0], right) : right;
    const corner = (x, value) => [x, value * x];
    const band = hasEnds(rate)
      ? [corner(left, rate[1]), corner(end, rate[1]), corner(end, rate[2]), corner(left, rate[2])]
      : undefined;
    return {
      from: corner(left, rate[0]),
      to: corner(end, rate[0]),
      band,
      text: `${level} ${intervalText([rate[0]], "B/s").split(" (")[0]} ${method}`,
      slot: 7,
    };
  });
  const level = work.map(({ rate, level: dtype, method }) => {
    const band = hasEnds(rate)
      ? [
          [left, rate[1]],
          [right, rate[1]],
          [right, rate[2]],
          [left, rate[2]],
        ]
      : undefined;
    return {
      from: [left, rate[0]],
      to: [right, rate[0]],
      band,
      text: `${dtype} ${intervalText([rate[0]], "FLOP/s").split(" (")[0]} ${method}`,
      slot: 3,
    };
  });
  return [...slanted, ...level];
}

function ceilingTable(ceilings) {
  const columns = [
    { head: "Ceiling", cell: ({ quantity }) => named(quantity), kind: "head" },
    { head: "Level or type", cell: ({ level }) => level },
    { head: "Rate", cell: ({ rate, unit }) => valued(rate, unit) },
    { head: "Measured with", cell: ({ method }) => method },
  ];
  return table("Measured ceilings", columns, ceilings);
}
