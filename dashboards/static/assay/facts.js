// Nested facts as a flat table, and what differs between two of them.

import { el, table } from "./dom.js";

const MOST_DEPTH = 6;

/** `{"cpu.model": "...", ...}`; lists are written in one line. */
export function flat(facts, prefix = "", depth = 0) {
  if (facts === null || typeof facts !== "object") return { [prefix || "value"]: written(facts) };
  if (Array.isArray(facts)) {
    const simple = facts.every((one) => one === null || typeof one !== "object");
    if (simple) return { [prefix || "value"]: facts.map(written).join(", ") || "none" };
  }
  const entries = Object.entries(facts);
  if (!entries.length || depth >= MOST_DEPTH)
    return { [prefix || "value"]: entries.length ? JSON.stringify(facts) : "none" };
  return Object.assign(
    {},
    ...entries.map(([name, value]) => flat(value, prefix ? `${prefix}.${name}` : name, depth + 1)),
  );
}

function written(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * A table of facts; what differs from `other` is marked and shown beside it.
 * @param {string} caption
 */
export function factsTable(caption, facts, other = null, otherName = "before") {
  const own = flat(facts);
  const before = other === null ? null : flat(other);
  const names = [...new Set([...Object.keys(own), ...Object.keys(before ?? {})])].sort();
  const differs = (name) => before !== null && own[name] !== before[name];
  const columns = [
    { head: "Fact", cell: (name) => name, kind: "head" },
    { head: "Value", cell: (name) => own[name] ?? el("span", { class: "muted" }, "absent") },
  ];
  if (before !== null) {
    names.sort((a, b) => Number(differs(b)) - Number(differs(a)));
    columns.push({
      head: otherName,
      cell: (name) =>
        differs(name) ? (before[name] ?? "absent") : el("span", { class: "muted" }, "same"),
    });
  }
  const node = table(caption, columns, names, {
    row: (name) => ({ class: differs(name) ? "differs" : null }),
  });
  node.classList.add("facts");
  return node;
}

export function differing(facts, other) {
  const [own, before] = [flat(facts), flat(other)];
  return [...new Set([...Object.keys(own), ...Object.keys(before)])].filter(
    (name) => own[name] !== before[name],
  );
}
