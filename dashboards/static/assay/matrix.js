// The variants of a group beside each other on every device: time, speed-up, energy.

import { ratioBar, reach } from "./bars.js";
import { device, href } from "./data.js";
import { el, spoken, table } from "./dom.js";
import { factor, interval, isInterval } from "./format.js";
import { badge, swatch } from "./marks.js";

/**
 * @param {any} group
 * @param {any[]} devices columns
 * @param {string} reference id of the device that speed-ups are taken against
 */
export function matrix(group, devices, site, slots, reference) {
  const ratios = group.rows.flatMap((row) =>
    Object.values(row.cells)
      .map((cell) => cell.speedup?.[reference])
      .filter(isInterval),
  );
  const end = reach(ratios);
  const columns = [
    {
      head: "Variant",
      cell: (row) => (row.best ? "fastest variant of each device" : row.variant),
      kind: "head",
    },
    ...devices.map(({ id }) => ({
      head: [
        swatch(slots.get(id)),
        ` ${device(site, id).name}`,
        id === reference ? el("small", { class: "reference" }, " reference") : null,
      ],
      cell: (row) => cell(row.cells[id], row, { id, site, end, item: group.item, reference }),
    })),
  ];
  const node = table(`Time, speed-up and energy of ${group.label}`, columns, group.rows, {
    row: (row) => ({ class: row.best ? "best" : null }),
  });
  node.classList.add("matrix");
  for (const box of node.querySelectorAll("[data-tone]"))
    box.closest("td").classList.add(box.dataset.tone);
  return node;
}

function cell(one, row, { id, site, end, item, reference }) {
  if (!one) return el("p", { class: "why" }, "not run here");
  const address = href("run.html", { run: one.run, case: one.case });
  const name = `${one.variant || row.variant} on ${device(site, id).name}`;
  if (one.outcome !== "ok") {
    return [
      el(
        "p",
        { "data-tone": one.outcome === "skipped" ? "skipped" : "failed" },
        el("a", { href: address, "aria-label": `${name}: ${one.outcome}` }, badge(one.outcome)),
      ),
      el("p", { class: "why" }, one.reason),
    ];
  }
  return [
    row.best ? el("p", { class: "why" }, one.variant) : null,
    time(one, address, name),
    one.dirty ? el("p", null, badge("dirty", "dirty checkout")) : null,
    speedup(one.speedup?.[reference], end, id === reference, device(site, reference).name),
    energy(one, item),
  ];
}

function time(one, address, name) {
  if (!isInterval(one.time)) {
    return [
      el(
        "p",
        null,
        el(
          "a",
          { href: address },
          badge(one.time_status || "unavailable", `time ${one.time_status || "unavailable"}`),
        ),
      ),
      one.reason ? el("p", { class: "why" }, one.reason) : null,
    ];
  }
  const { value, range } = interval(one.time, "s");
  return [
    el("p", null, el("a", { class: "value", href: address }, value, spoken(` ${name}`))),
    el("p", { class: "range" }, range || "1 process, no interval"),
  ];
}

function speedup(ratio, end, own, name) {
  if (own) return el("p", { class: "muted" }, "1x");
  if (!isInterval(ratio)) return el("p", { class: "range" }, `no speed-up against ${name}`);
  const { value, range } = factor(ratio);
  return el(
    "p",
    null,
    el("b", null, value),
    " ",
    el("span", { class: "range" }, range || "no interval"),
    ratioBar(ratio, end, "muted"),
  );
}

function energy(one, item) {
  if (isInterval(one.energy)) {
    const { value, range } = interval(one.energy, "J");
    return el(
      "p",
      null,
      `${value} per ${item} `,
      el("span", { class: "range below" }, range || "1 process, no interval"),
    );
  }
  const status = one.energy_status || "unavailable";
  const reason = one.energy_reason || one.reason || "no reason was given";
  return el(
    "details",
    { class: "energy" },
    el("summary", null, badge(status, `energy ${status}`)),
    el("p", { class: "why" }, reason),
  );
}
