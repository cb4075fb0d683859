// The same cases side by side on every device.

import { ratioBar, reach } from "./bars.js";
import { device, href, load, remember } from "./data.js";
import { el, table, valued } from "./dom.js";
import { factor, isInterval } from "./format.js";
import { badge, MOST_SERIES, swatch } from "./marks.js";
import { matrix } from "./matrix.js";
import { pareto } from "./pareto.js";
import { roofline } from "./roofline.js";
import { found, nothing, run, tabs } from "./shell.js";

const GROUP_ROWS = 40;

run(async (site, given) => {
  const data = await load("devices");
  const title = "Devices";
  if (!data.groups.length)
    return { title, nodes: [el("h1", null, title), nothing("No case has run on any device yet.")] };
  const slugs = [...new Set(data.groups.map((one) => one.workload))];
  const workloads = site.workloads.filter((one) => slugs.includes(one.slug));
  const asked = given.has("g")
    ? found(data.groups, given.get("g"), (one) => one.id, "group")
    : null;
  const slug = given.has("w")
    ? found(workloads, given.get("w"), (one) => one.slug, "workload").slug
    : (asked ?? data.groups[0]).workload;
  const groups = data.groups.filter((one) => one.workload === slug);
  const group =
    asked?.workload === slug ? asked : [...groups].sort((a, b) => spread(b) - spread(a))[0];
  const slots = new Map(data.devices.map(({ id }, index) => [id, index % MOST_SERIES]));
  const present = data.devices.filter(({ id }) => group.rows.some((row) => row.cells[id]));
  const absent = data.devices.filter((one) => !present.includes(one));
  const state = {
    w: slug,
    g: group.id,
    ref: present.some(({ id }) => id === given.get("ref"))
      ? given.get("ref")
      : reference(group, present),
    d: present.some(({ id }) => id === given.get("d")) ? given.get("d") : "",
  };
  const cleaners = [];
  const comparison = el("div");
  const lower = el("div", { class: "pair" });
  const overview = el("div");
  const roofed =
    state.d ||
    present.find(({ id }) => group.rows.some((row) => row.cells[id]?.roof))?.id ||
    present[0].id;
  const drawn = { pareto: null, roofline: null };
  const select = (label, value, choose) => {
    const box = el(
      "select",
      { change: (event) => choose(event.target.value) },
      present.map(({ id }) => el("option", { value: id }, device(site, id).name)),
    );
    box.value = value;
    return el("label", null, label, box);
  };
  const compare = () => {
    comparison.replaceChildren(matrix(group, present, site, slots, state.ref));
    overview.replaceChildren(allGroups(groups, group, data.devices, site, slots, state.ref, slug));
  };
  const roof = el("section");
  const showRoof = (id) => {
    drawn.roofline?.();
    const picker = el(
      "p",
      { class: "controls" },
      select("Device", id, (next) => {
        state.d = next;
        remember(state);
        showRoof(next);
        roof.querySelector("select").focus();
      }),
    );
    const shown = roofline(
      group,
      present.find((one) => one.id === id),
      site,
      picker,
    );
    roof.replaceChildren(...shown.nodes);
    drawn.roofline = shown.mounted?.() ?? null;
  };
  const both = pareto(group, present, site, slots);
  lower.append(el("section", null, both.nodes), roof);
  compare();
  const controls = el(
    "p",
    { class: "controls" },
    select("Speed-up against", state.ref, (id) => {
      state.ref = id;
      remember(state);
      compare();
    }),
  );
  return {
    title,
    nodes: [
      el("h1", null, title, el("small", null, "latest run of each case on each device")),
      tabs(
        "Workloads",
        workloads.map((one) => ({
          name: one.name,
          address: href("devices.html", { w: one.slug }),
          current: one.slug === slug,
        })),
      ),
      el(
        "h2",
        null,
        group.label || "default parameters",
        el(
          "small",
          null,
          `per ${group.item}; 95 % intervals; bars: speed-up, logarithmic, right is faster`,
        ),
      ),
      controls,
      comparison,
      absent.length
        ? el(
            "p",
            { class: "muted" },
            `Not run on: ${absent.map(({ id }) => device(site, id).name).join(", ")}.`,
          )
        : null,
      lower,
      el(
        "h2",
        null,
        "All cases",
        el("small", null, "fastest variant of each device; choose one to see its variants"),
      ),
      overview,
    ].filter(Boolean),
    mounted: () => {
      drawn.pareto = both.mounted?.() ?? null;
      showRoof(roofed);
      cleaners.push(
        () => drawn.pareto?.(),
        () => drawn.roofline?.(),
      );
      return () => cleaners.forEach((clean) => clean());
    },
  };
});

/** On how many devices a group has a value: what can be compared comes first. */
function spread(group) {
  return new Set(
    group.rows.flatMap((row) =>
      Object.entries(row.cells)
        .filter(([, cell]) => isInterval(cell.time))
        .map(([id]) => id),
    ),
  ).size;
}

/** The first device with a value in the group's best row. */
function reference(group, present) {
  const best = group.rows.find((row) => row.best) ?? group.rows[0];
  return (present.find(({ id }) => isInterval(best.cells[id]?.time)) ?? present[0]).id;
}

function allGroups(groups, current, devices, site, slots, reference_, slug) {
  const place = el("div");
  const state = el("p", { class: "muted", role: "status" });
  const filter = el("input", {
    type: "search",
    placeholder: "Filter: parameter=value …",
    "aria-label": "Show cases that contain",
    input: () => show(GROUP_ROWS),
  });
  const best = (group) => group.rows.find((row) => row.best) ?? group.rows[0];
  const used = devices.filter(({ id }) => groups.some((group) => best(group).cells[id]));
  const ratios = groups.flatMap((group) =>
    Object.values(best(group).cells)
      .map((cell) => cell.speedup?.[reference_])
      .filter(isInterval),
  );
  const end = reach(ratios);
  const columns = [
    {
      head: "Case",
      cell: (group) =>
        el(
          "a",
          {
            href: href("devices.html", { w: slug, g: group.id, ref: reference_ }),
            "aria-current": group === current ? "true" : null,
          },
          group.label || "default parameters",
        ),
      kind: "head",
    },
    ...used.map(({ id }) => ({
      head: [swatch(slots.get(id)), ` ${device(site, id).name}`],
      cell: (group) => brief(best(group).cells[id], id === reference_, reference_, end),
    })),
  ];
  const show = (most) => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = groups.filter(({ label }) =>
      words.every((word) => label.toLowerCase().includes(word)),
    );
    state.textContent = `${shown.length} of ${groups.length} cases`;
    place.replaceChildren(
      table("Fastest variant of each case on each device", columns, shown.slice(0, most)),
    );
    place.firstChild.classList.add("matrix");
    if (shown.length > most)
      place.append(
        el(
          "button",
          { type: "button", class: "more", click: () => show(shown.length) },
          `Show all ${shown.length}`,
        ),
      );
  };
  show(GROUP_ROWS);
  return groups.length > 8
    ? el("div", null, el("p", { class: "controls" }, filter, state), place)
    : place;
}

function brief(cell, own, reference_, end) {
  if (!cell) return el("span", { class: "why" }, "not run here");
  if (!isInterval(cell.time))
    return badge(cell.outcome === "ok" ? cell.time_status || "unavailable" : cell.outcome);
  const ratio = cell.speedup?.[reference_];
  const { value } = factor(ratio);
  return [
    valued(cell.time, "s"),
    el("small", null, cell.variant),
    own || !isInterval(ratio) ? null : [" ", el("b", null, value), ratioBar(ratio, end, "muted")],
  ];
}
