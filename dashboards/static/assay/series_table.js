// All series of a workload in a table that can be searched; its boxes choose what is drawn.

import { spark } from "./bars.js";
import { device, href } from "./data.js";
import { el, table, valued } from "./dom.js";
import { age, counted, isInterval } from "./format.js";
import { badge, MOST_SERIES, swatch } from "./marks.js";

const ROWS = 40; // at a time: each holds a small picture

/**
 * @param {any} index the workload
 * @param {any} site
 * @param {Map<string, number>} slots of the chosen series, by id
 * @param {(id: string, on: boolean) => void} choose
 */
export function seriesTable(index, site, slots, choose) {
  const filter = el("input", {
    type: "search",
    "aria-label": "Show series that contain",
    placeholder: "Filter: variant, parameter, device …",
    input: () => show(ROWS),
  });
  const state = el("p", { class: "muted", role: "status" });
  const place = el("div");
  const rows = [...index.series].sort((a, b) => b.changes - a.changes);
  const text = new Map(rows.map((row) => [row, searched(row, site)]));
  const show = (most) => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => words.every((word) => text.get(row).includes(word)));
    state.textContent = `${found.length} of ${counted(rows.length, "series", "series")}; at most ${MOST_SERIES} are drawn at once.`;
    place.replaceChildren(
      table(`Series of ${index.name}`, columns(site, slots, choose), found.slice(0, most)),
    );
    if (found.length > most) {
      place.append(
        el(
          "button",
          { type: "button", class: "more", click: () => show(found.length) },
          `Show all ${found.length}`,
        ),
      );
    }
  };
  show(ROWS);
  return [el("p", { class: "controls" }, filter), state, place];
}

function searched(row, site) {
  const words = [
    row.label,
    row.variant,
    row.settings,
    row.last.outcome,
    device(site, row.device).name,
    ...Object.entries(row.params).map(([name, value]) => `${name}=${value}`),
  ];
  return words.join(" ").toLowerCase();
}

function columns(site, slots, choose) {
  const last = (row, key) => {
    const { last: value, unit, status } = row.quantities[key] ?? {};
    // A series whose latest run failed has no value of now; an older one would mislead here.
    if (row.last.outcome !== "ok") return "";
    if (isInterval(value)) return valued(value, unit);
    return status && status !== "measured" ? badge(status) : "";
  };
  return [
    { head: "Drawn", cell: (row) => box(row, slots, choose) },
    {
      head: "Series",
      cell: (row) => [
        slots.has(row.id) ? [swatch(slots.get(row.id)), " "] : null,
        row.label,
        row.baseline ? el("small", null, " baseline") : null,
      ],
      kind: "head",
    },
    { head: "Device", cell: (row) => el("p", { class: "device" }, device(site, row.device).name) },
    { head: "Time, last", cell: (row) => last(row, "time") },
    { head: "Recent", cell: (row) => spark(row.spark ?? []) ?? "" },
    { head: "Memory, last", cell: (row) => last(row, "peak_memory") },
    { head: "Energy, last", cell: (row) => last(row, "energy") },
    { head: "Findings", cell: (row) => row.changes || "", kind: "num" },
    {
      head: "Latest run",
      cell: (row) => [
        badge(row.last.outcome),
        " ",
        el(
          "a",
          { href: href("run.html", { run: row.last.run, case: row.last.case }) },
          age(row.last.at, site.as_of).replace("just now", "newest"),
        ),
      ],
      kind: "nowrap",
    },
  ];
}

function box(row, slots, choose) {
  const full = slots.size >= MOST_SERIES && !slots.has(row.id);
  const name = `Draw ${row.label}`;
  const input = el("input", {
    type: "checkbox",
    "aria-label": name,
    "data-series": row.id,
    disabled: full,
    change: (event) => choose(row.id, event.target.checked),
  });
  input.checked = slots.has(row.id);
  return input;
}
