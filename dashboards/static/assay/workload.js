// One workload over its commits: time, memory and energy of the chosen series.

import { DataError, device, href, load } from "./data.js";
import { el, spoken } from "./dom.js";
import { counted } from "./format.js";
import { commitAt } from "./history_data.js";
import { findingsTable } from "./history_table.js";
import { historyView } from "./history_view.js";
import { mark, MOST_SERIES, named, swatch } from "./marks.js";
import { readout } from "./readout.js";
import { seriesTable } from "./series_table.js";
import { found, nothing, problem, run, tabs } from "./shell.js";
import { membersOf, save, SCALES, slotsOf, stateOf } from "./workload_state.js";

const RECENT = 100; // commits

run(async (site, given) => {
  if (!site.workloads.length) {
    return {
      title: "Workloads",
      nodes: [
        el("h1", null, "Workloads"),
        nothing("No workload has results yet; `assay run` makes some."),
      ],
    };
  }
  const { slug } = given.has("w")
    ? found(site.workloads, given.get("w"), (one) => one.slug, "workload")
    : site.workloads[0];
  const index = await load("workload", slug);
  const body = el("div");
  const state = stateOf(given, index);
  const page = { clean: () => {}, turn: 0 };
  const lines = el("div");
  const update = async () => {
    const turn = ++page.turn;
    lines.setAttribute("aria-busy", "true");
    page.clean();
    page.clean = () => {};
    const shown = await charts(index, site, state, update).catch((error) => ({
      nodes: [problem(error)],
    }));
    if (turn !== page.turn) return;
    lines.replaceChildren(...shown.nodes);
    page.clean = shown.mounted?.() ?? page.clean;
    lines.setAttribute("aria-busy", "false");
    save(slug, state);
  };
  const all = () => el("div", null, seriesTable(index, site, slotsOf(state), choose));
  const choose = (id, on) => {
    state.series = on
      ? [...state.series, id].slice(0, MOST_SERIES)
      : state.series.filter((one) => one !== id);
    state.group = "";
    const focused = document.activeElement?.dataset?.series;
    const filter = table.querySelector("input[type=search]")?.value ?? "";
    table.replaceChildren(all());
    const search = table.querySelector("input[type=search]");
    search.value = filter;
    if (filter) search.dispatchEvent(new Event("input"));
    if (focused) table.querySelector(`[data-series="${CSS.escape(focused)}"]`)?.focus();
    update();
  };
  const table = el("div", null, all());
  const pick = (group) => {
    state.group = group;
    state.series = membersOf(index, group);
    table.replaceChildren(all());
    update();
  };
  body.append(
    el(
      "h1",
      null,
      index.name,
      el(
        "small",
        null,
        `version ${index.version}, ${counted(index.commits.length, "commit")}, ${counted(index.series.length, "series", "series")}; an item is one ${index.item}`,
      ),
    ),
    tabs(
      "Workloads",
      site.workloads.map((one) => ({
        name: one.name,
        note: String(one.series),
        address: href("workload.html", { w: one.slug }),
        current: one.slug === slug,
      })),
    ),
    controls(index, site, state, pick, update),
    lines,
    el("h2", null, "All series"),
    table,
  );
  state.remove = (id) => choose(id, false);
  return {
    title: index.name,
    nodes: [body],
    mounted: () => {
      update();
      return () => {
        page.turn++;
        page.clean();
      };
    },
  };
});

function controls(index, site, state, pick, update) {
  const options = index.groups.map((one) =>
    el(
      "option",
      { value: one.id },
      `${one.label || "default parameters"}${one.device === undefined ? "" : ` on ${device(site, one.device).name}`}`,
    ),
  );
  const group = el(
    "select",
    { change: (event) => event.target.value && pick(event.target.value) },
    el("option", { value: "" }, "chosen below"),
    options,
  );
  group.value = state.group;
  state.grouped = () => (group.value = state.group);
  const scale = el(
    "select",
    {
      change: (event) => {
        state.scale = event.target.value;
        update();
      },
    },
    Object.entries(SCALES).map(([value, text]) => el("option", { value }, text)),
  );
  scale.value = state.scale;
  const relative = el(
    "button",
    {
      type: "button",
      "aria-pressed": String(state.relative),
      click: () => {
        state.relative = !state.relative;
        relative.setAttribute("aria-pressed", String(state.relative));
        update();
      },
    },
    "Relative to first",
  );
  const zoom = (text, act) => el("button", { type: "button", click: () => act(state.view) }, text);
  return el(
    "div",
    { class: "controls" },
    el("label", null, "Compare the variants of", group),
    el("label", null, "Axis", scale),
    relative,
    el(
      "span",
      { class: "group", role: "group", "aria-label": "Zoom" },
      zoom("All commits", (view) => view?.zoom(...view.full)),
      zoom(`Last ${RECENT}`, (view) =>
        view?.zoom(Math.max(view.full[1] - RECENT, view.full[0]), view.full[1]),
      ),
    ),
  );
}

async function charts(index, site, state, update) {
  state.grouped();
  const entries = state.series.map((id) => index.series.find((one) => one.id === id));
  const notes = state.unknown.map((id) => `There is no series “${id}” here.`);
  if (state.lost) notes.push(`Commit “${state.lost}” is not on this axis.`);
  const warnings = notes.map((text) => problem(new DataError(text)));
  if (!entries.length)
    return { nodes: [...warnings, nothing("Choose series in the table below.")] };
  const files = await Promise.all(entries.map((entry) => load("workload", index.slug, entry.id)));
  const chosen = entries.map((entry, slot) => ({ slot, entry, full: files[slot] }));
  const side = { show: () => {} };
  const view = historyView(
    chosen,
    {
      commits: index.commits,
      scale: state.scale,
      relative: state.relative,
      asked: state.quantity,
      at: state.at,
      range: state.range,
    },
    {
      moved: (i, near) => side.show(i, near),
      zoomed: (range) => {
        state.range = range;
        save(index.slug, state);
      },
      open: (slot, x) =>
        open(
          chosen.find((one) => one.slot === slot),
          x,
        ),
    },
  );
  state.view = view;
  const { box, show } = readout(chosen, index.commits, view.xs);
  side.show = show;
  const asked = state.at === null ? null : commitAt(index.commits, state.at);
  return {
    nodes: [
      ...warnings,
      legend(chosen, site, state),
      marksUsed(chosen),
      view.help,
      el("div", { class: "split" }, el("div", null, view.figures), box),
      el(
        "h2",
        null,
        "Findings",
        asked ? el("small", null, `the cursor stands at ${asked.hash.slice(0, 8)}`) : null,
      ),
      ...findingsTable(chosen, index.commits).filter(Boolean),
    ],
    mounted: view.mounted,
  };
}

function legend(chosen, site, state) {
  const items = chosen.map(({ slot, entry }) =>
    el(
      "li",
      null,
      swatch(slot),
      entry.label,
      el("small", null, device(site, entry.device).name),
      el(
        "button",
        { type: "button", title: "Draw no longer", click: () => state.remove(entry.id) },
        el("span", { "aria-hidden": "true" }, "×"),
        spoken(`Remove ${entry.label}`),
      ),
    ),
  );
  return el("ul", { class: "legend", "aria-label": "Drawn series" }, items);
}

function marksUsed(chosen) {
  const used = new Set(chosen.flatMap(({ full }) => full.events.map((event) => event.outcome)));
  const single = chosen.some(({ full }) =>
    Object.values(full.quantities).some(({ low }) => low.includes(null)),
  );
  const items = [...used]
    .sort()
    .map((outcome) => el("li", null, mark(outcome), ` ${named(outcome)}`));
  if (single) items.push(el("li", null, "hollow: 1 process, no interval"));
  items.push(
    el("li", null, "bands: 95 % intervals"),
    el("li", null, "dashed: another environment"),
  );
  return el("ul", { class: "legend marks", "aria-label": "Meaning of the marks" }, items);
}

function open({ full }, x) {
  const values = Object.values(full.quantities).find((one) => one.x.includes(x));
  const run = values
    ? values.run[values.x.indexOf(x)]
    : full.events.find((event) => event.x === x)?.run;
  if (run !== undefined && full.runs[run])
    location.href = href("run.html", { run: full.runs[run][0], case: full.case });
}
