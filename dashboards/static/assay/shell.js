// What all pages share: the header, waiting, problems, and showing another address.

import { DataError, hash, href, load } from "./data.js";
import { el } from "./dom.js";
import { age, moment } from "./format.js";

const SCHEMA = 1;
let newest = 0; // of the renderings: an older one that ends later is dropped

/**
 * @typedef {{title: string, nodes: Node[], mounted?: () => void}} Shown
 */

/**
 * Run a page: render it now and whenever its address changes.
 * @param {(site: any, hash: URLSearchParams) => Promise<Shown>} render
 */
export function run(render) {
  const skip = document.querySelector(".skip");
  const main = document.getElementById("main");
  skip.addEventListener("click", (event) => {
    event.preventDefault(); // the part after # says what is shown
    main.focus();
  });
  let clean = () => {};
  const show = async (moved) => {
    const turn = ++newest;
    main.setAttribute("aria-busy", "true");
    let shown;
    try {
      const site = await load("site");
      if (site.schema !== SCHEMA) {
        throw new DataError(
          "These pages and their data are of different releases; publish again with `assay publish`.",
        );
      }
      header(site);
      shown = await render(site, hash());
    } catch (error) {
      shown = {
        title: "Nothing to show",
        nodes: [el("h1", null, "Nothing to show"), problem(error)],
      };
    }
    if (turn !== newest) return;
    clean();
    clean = () => {};
    main.replaceChildren(...shown.nodes);
    const project = document.getElementById("project").textContent;
    document.title = `${shown.title} · ${project}`;
    try {
      clean = shown.mounted?.() ?? clean;
    } catch (error) {
      main.append(problem(error));
    }
    main.setAttribute("aria-busy", "false");
    performance.mark("assay-shown");
    if (moved) {
      window.scrollTo(0, 0);
      const heading = main.querySelector("h1");
      if (heading) {
        heading.tabIndex = -1;
        heading.focus({ preventScroll: true });
      }
    }
  };
  window.addEventListener("hashchange", () => show(true));
  show(false);
}

/** A box that says what went wrong and what to do. */
export function problem(error) {
  const text =
    error instanceof DataError
      ? error.message
      : `The data of this page cannot be read (${error?.message ?? error}); publish again with \`assay publish\`.`;
  return el("p", { class: "problem", role: "alert" }, text);
}

/** A quiet line where there is nothing to show. */
export function nothing(...text) {
  return el("p", { class: "nothing" }, ...text);
}

/**
 * Links to the same page for each of several things.
 * @param {{name: string, address: string, current: boolean, note?: string}[]} tabs
 */
export function tabs(label, entries) {
  const items = entries.map(({ name, address, current, note }) =>
    el(
      "li",
      null,
      el(
        "a",
        { href: address, "aria-current": current ? "true" : null },
        name,
        note ? el("small", null, note) : null,
      ),
    ),
  );
  return el("nav", { class: "tabs", "aria-label": label }, el("ul", null, items));
}

/** Find a named thing in a list, or say what there is. */
export function found(list, wanted, of, what) {
  const one = list.find((entry) => of(entry) === wanted);
  if (one === undefined) {
    const names = list.slice(0, 12).map(of).join(", ");
    throw new DataError(`There is no ${what} “${wanted}” here. There is: ${names || "none"}.`);
  }
  return one;
}

function header(site) {
  document.getElementById("project").textContent = site.project || "Assay";
  for (const link of document.querySelectorAll("[data-asv]")) link.hidden = !site.asv;
  const line = document.getElementById("as-of");
  if (!(site.as_of > 0)) {
    line.textContent = "no results yet";
    return;
  }
  const time = el(
    "time",
    { datetime: new Date(site.as_of * 1000).toISOString() },
    `${moment(site.as_of)} UTC`,
  );
  line.replaceChildren("newest result ", time, ` (${age(site.as_of, Date.now() / 1000)})`);
}

export { href };
