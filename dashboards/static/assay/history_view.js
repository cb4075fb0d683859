// The three charts of a workload under one cursor and one zoom, with their keys.

import { colours, follow } from "./chart.js";
import { el, spoken } from "./dom.js";
import { counted } from "./format.js";
import { column, described, environmentChanges, places, QUANTITIES } from "./history_data.js";
import { historyChart } from "./history.js";
import { badge } from "./marks.js";
import { valuesTable } from "./history_table.js";

const HELP_ID = "chart-keys";

/**
 * Figures for all three quantities; `mounted` draws them once they are in the page.
 * @param {any[]} chosen
 * @param {{commits: any[], scale: string, relative: boolean, asked: string, at: number|null, range: [number, number]|null}} view
 * @param {{moved: (i: number, near: number) => void, zoomed: (range: [number, number]|null) => void, open: (slot: number, x: number) => void}} events
 */
export function historyView(chosen, view, events) {
  const xs = places(chosen);
  const full = extent(xs);
  const shown = QUANTITIES.map((quantity) => ({
    quantity,
    lines: linesOf(chosen, quantity.key, xs, view.relative),
  }));
  const drawn = shown.filter(({ lines }) => lines.some(({ values }) => values?.x.length));
  const state = {
    i: xs.length - 1,
    near: chosen[0]?.slot ?? 0,
    range: view.range ?? full,
    quiet: false,
  };
  const boxes = new Map();
  const figures = shown.map(({ quantity, lines }) =>
    figure(quantity, lines, chosen, view, boxes, () => state.range, xs),
  );
  let charts = [];

  const zoom = (low, high) => {
    if (state.quiet || !(high > low)) return;
    state.quiet = true;
    state.range = [low, high];
    for (const { plot } of charts) plot.setScale("x", { min: low, max: high });
    state.quiet = false;
    const all = low <= full[0] && high >= full[1];
    events.zoomed(all ? null : [low, high]);
  };
  const point = (i) => {
    if (i === null || i === undefined || i === state.i) return;
    state.i = i;
    events.moved(i, state.near);
  };
  const go = (i) => {
    const target = Math.max(0, Math.min(xs.length - 1, i));
    const [low, high] = state.range;
    if (xs[target] < low || xs[target] > high) {
      const half = (high - low) / 2;
      zoom(xs[target] - half, xs[target] + half);
    }
    // uPlot takes up a new scale only when the running script is done.
    queueMicrotask(() => {
      const plot = charts[0]?.plot;
      if (plot)
        plot.setCursor({
          left: plot.valToPos(xs[target], "x"),
          top: plot.bbox.height / devicePixelRatio / 2,
        });
    });
    state.i = target;
    events.moved(target, state.near);
  };
  const turn = (step) => {
    const at = chosen.findIndex(({ slot }) => slot === state.near);
    state.near = chosen[(at + step + chosen.length) % chosen.length].slot;
    events.moved(state.i, state.near);
  };
  const keys = {
    ArrowLeft: () => go(state.i - 1),
    ArrowRight: () => go(state.i + 1),
    PageUp: () => go(state.i - 10),
    PageDown: () => go(state.i + 10),
    Home: () => go(0),
    End: () => go(xs.length - 1),
    ArrowUp: () => turn(-1),
    ArrowDown: () => turn(1),
    Enter: () => events.open(state.near, xs[state.i]),
    "+": () => around(0.5),
    "-": () => around(2),
    0: () => zoom(...full),
  };
  const around = (share) => {
    const [low, high] = state.range;
    const half = Math.max(((high - low) / 2) * share, 1.5);
    const middle = Math.min(Math.max(xs[state.i], low), high);
    if (half * 2 >= full[1] - full[0]) zoom(...full);
    else zoom(middle - half, middle + half);
  };

  const mounted = () => {
    let paint = colours();
    charts = drawn.map(({ quantity, lines }, order) => {
      const box = boxes.get(quantity.key);
      const chart = historyChart(box, {
        xs,
        lines,
        commits: view.commits,
        unit: view.relative ? "x" : lines.find(({ values }) => values?.x.length).values.unit,
        scale: view.scale,
        range: state.range,
        full,
        height: quantity.height,
        dated: order === drawn.length - 1,
        environments: environmentChanges(chosen, quantity.key),
        told: order === 0,
        findings: findingsOf(lines, chosen, quantity.key),
        paint: () => paint,
        zoomed: zoom,
        moved: (plot) => point(plot.cursor.idx),
      });
      box.addEventListener("keydown", (event) => {
        const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
        if (!act) return;
        event.preventDefault();
        act();
      });
      chart.plot.over.addEventListener("click", (event) =>
        clicked(event, chart.plot, lines, state, xs, events),
      );
      return chart;
    });
    if (charts.length) go(view.at === null ? lastWithin(xs, state.range) : nearest(xs, view.at));
    return follow(
      () => charts,
      (now) => (paint = now),
    );
  };
  return { figures, help: help(), mounted, xs, zoom, full, go };
}

function linesOf(chosen, key, xs, relative) {
  return chosen.map((one) => ({
    slot: one.slot,
    column: column(one, key, xs, relative),
    values: one.full.quantities[key],
    events: one.full.events
      .filter(({ quantity }) => quantity === null || quantity === key)
      .sort((a, b) => a.x - b.x),
  }));
}

function findingsOf(lines, chosen, key) {
  return chosen.flatMap(({ slot, full }) => {
    const line = lines.find((one) => one.slot === slot);
    return full.findings
      .filter((one) => one.quantity === key)
      .map((finding) => {
        const point = line.values?.x.indexOf(finding.x) ?? -1;
        const i = line.column.at.indexOf(point);
        return { x: finding.x, y: point >= 0 && i >= 0 ? line.column.y[i] : NaN, finding };
      });
  });
}

function figure(quantity, lines, chosen, view, boxes, range, xs) {
  const per = lines.find(({ values }) => values?.item)?.values.item;
  const title = [
    el("b", null, quantity.name),
    per ? ` per ${per}` : null,
    view.relative ? el("small", null, "relative to the first point") : null,
  ];
  const id = `chart-${quantity.key}`;
  const body = [];
  if (lines.some(({ values }) => values?.x.length)) {
    const box = el("div", {
      class: "plot",
      id,
      tabindex: 0,
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": `${quantity.name} over the commits`,
      "aria-describedby": `${id}-text ${HELP_ID}`,
    });
    boxes.set(quantity.key, box);
    body.push(
      box,
      el("p", { class: "spoken", id: `${id}-text` }, described(chosen, quantity, view.commits)),
    );
    body.push(valuesTable(quantity, chosen, view.commits, xs, range));
  } else {
    body.push(reasons(quantity, chosen));
  }
  return el(
    "figure",
    { class: view.asked === quantity.key ? "chart asked" : "chart" },
    el("figcaption", { id: `${id}-title` }, title),
    body,
  );
}

/** In place of an empty chart: why no chosen series has a value. */
function reasons(quantity, chosen) {
  const found = new Map();
  for (const { entry } of chosen) {
    const { status = "unavailable", reason = "" } = entry.quantities[quantity.key] ?? {};
    const ended = entry.last.outcome !== "ok";
    const key = JSON.stringify(
      ended ? [entry.last.outcome, entry.last.reason] : [status, reason || "not measured"],
    );
    found.set(key, [...(found.get(key) ?? []), entry]);
  }
  const items = [...found].map(([key, entries]) => {
    const [status, reason] = JSON.parse(key);
    return el(
      "li",
      null,
      badge(status === "measured" ? "unavailable" : status),
      ` ${reason} (${counted(entries.length, "series", "series")})`,
    );
  });
  return el("ul", { class: "nothing" }, items);
}

function help() {
  return el(
    "p",
    { class: "muted", id: HELP_ID },
    spoken("In a chart: "),
    "Drag to zoom. Keys: ←→ commit, ↑↓ series, + − zoom, 0 all, Enter opens the run.",
  );
}

function clicked(event, plot, lines, state, xs, events) {
  const i = plot.cursor.idx;
  if (i === null || i === undefined) return;
  const box = plot.over.getBoundingClientRect();
  const top = event.clientY - box.top;
  let [best, distance] = [null, Infinity];
  for (const {
    slot,
    column: { y },
  } of lines) {
    if (!Number.isFinite(y[i])) continue;
    const away = Math.hypot(
      plot.valToPos(y[i], "y") - top,
      plot.valToPos(xs[i], "x") - (event.clientX - box.left),
    );
    if (away < distance) [best, distance] = [slot, away];
  }
  if (best === null) return;
  state.near = best;
  events.moved(i, best);
  // A finger is too coarse to mean a point; it finds the link to the run beside the chart.
  if (distance < 12 && !matchMedia("(pointer: coarse)").matches) events.open(best, xs[i]);
}

function extent(xs) {
  if (!xs.length) return [-0.5, 0.5];
  const [low, high] = [xs[0], xs[xs.length - 1]];
  const spare = Math.max((high - low) * 0.015, 0.5);
  return [low - spare, high + spare];
}

function lastWithin(xs, [low, high]) {
  const i = xs.findLastIndex((x) => x >= low && x <= high);
  return i < 0 ? xs.length - 1 : i;
}

function nearest(xs, x) {
  let best = 0;
  xs.forEach((value, i) => {
    if (Math.abs(value - x) < Math.abs(xs[best] - x)) best = i;
  });
  return best;
}
