// Makes elements. Text from data becomes text nodes only, so that it can never become markup.

import { interval, isInterval } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node|string|number|null|undefined|false} Child
 */

/**
 * An HTML element. Attributes that are null or false are left out; functions listen to the event.
 * @param {string} tag
 * @param {Object<string, any>|null} attributes
 * @param {...(Child|Child[])} children
 */
export function el(tag, attributes = null, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, as `el` makes HTML ones. */
export function svg(tag, attributes = null, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter(present).map(text));
  return element;
}

function present(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

function text(child) {
  return child instanceof Node ? child : String(child);
}

/** Text that only screen readers say. */
export function spoken(text) {
  return el("span", { class: "spoken" }, text);
}

/** A value with its interval below; says so where there is none. */
export function valued(one, unit, unknown = "1 process, no interval") {
  if (!isInterval(one)) return "";
  const { value, range } = interval(one, unit);
  return [
    el("span", { class: "nowrap" }, value),
    " ",
    el("span", { class: "range below" }, range || unknown),
  ];
}

/**
 * A table in a box of its own that scrolls, so that no page is wider than its window.
 * @param {string} caption only spoken: a heading stands above
 * @param {{head: Child, cell: (row: any) => any, kind?: string}[]} columns kind: "num", "head", ""
 * @param {any[]} rows
 * @param {{row?: (row: any) => Object<string, any>}} options attributes of a row
 */
export function table(caption, columns, rows, { row = () => null } = {}) {
  const body = rows.map((one) =>
    el(
      "tr",
      row(one),
      columns.map(({ cell, kind }) =>
        kind === "head"
          ? el("th", { scope: "row" }, cell(one))
          : el("td", { class: kind || null }, cell(one)),
      ),
    ),
  );
  const head = columns.map(({ head: text, kind }) =>
    el("th", { scope: "col", class: kind === "num" ? "num" : null }, text),
  );
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    el(
      "table",
      null,
      el("caption", { class: "spoken" }, caption),
      el("thead", null, el("tr", null, head)),
      el("tbody", null, body),
    ),
  );
}

/** A `details` whose content is made when it is first opened. */
export function folded(summary, make, { open = false, name = null } = {}) {
  const box = el(
    "details",
    { class: "folded", open, "data-name": name },
    el("summary", null, summary),
  );
  const unfold = () => {
    if (box.open && box.childElementCount === 1) box.append(...[make()].flat(3).filter(present));
  };
  box.addEventListener("toggle", unfold);
  if (open) unfold();
  return box;
}

/** The first `most` of many things, and a button that shows the rest. */
export function limited(things, most, show, container) {
  container.append(...things.slice(0, most).map(show));
  if (things.length <= most) return container;
  const rest = el("button", {
    type: "button",
    class: "more",
    click: () => {
      const added = things.slice(most).map(show);
      container.append(...added);
      rest.remove();
      const target = added[0].querySelector("a, button, summary");
      if (target) target.focus();
    },
  });
  rest.textContent = `Show all ${things.length}`;
  return el("div", null, container, rest);
}
