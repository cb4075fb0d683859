// The list of changes: grouped by what came with one commit, each with its size and its evidence.

import { ratioBar, reach } from "./bars.js";
import { device, href } from "./data.js";
import { el, limited } from "./dom.js";
import { age, change, hasEnds, intervalText, isInterval, number, short } from "./format.js";
import { badge, named } from "./marks.js";

const LINES = 5; // of a group that are shown at first
const GROUPS = 30;
export const QUANTITIES = { time: "time", peak_memory: "peak memory", energy: "energy" };

/** What a change is called: its verdict where it has one, else its kind. */
function kindOf(one) {
  return one.verdict || one.kind;
}

/** Who is better and worse, as classes. */
export function toneOf(one) {
  const tones = { regression: "worse", improvement: "better", environment: "changed" };
  return tones[kindOf(one)] ?? "muted";
}

export function changes(found, site, now) {
  const groups = grouped(found);
  const end = reach(found.filter((one) => isInterval(one.ratio)).map((one) => one.ratio));
  const axis = el(
    "p",
    { class: "axis muted" },
    `Bars: new over old value with its 95 % interval, logarithmic, from ${number(Math.exp(-end), 2)}x to ` +
      `${number(Math.exp(end), 2)}x; right of the line costs more.`,
  );
  return [
    limited(
      groups,
      GROUPS,
      (group) => together(group, site, now, end),
      el("ol", { class: "changes" }),
    ),
    axis,
  ];
}

/** Same kind, commit and device: in the order of the most important of each. */
function grouped(found) {
  const groups = new Map();
  for (const one of found) {
    const key = JSON.stringify([kindOf(one), one.commit, one.device]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(one);
  }
  return [...groups.values()];
}

function together(group, site, now, end) {
  const [first] = group;
  const { name, title } = device(site, first.device);
  const shared = (of) => group.every((one) => of(one) === of(first)) && of(first);
  // Alike changes that moved nothing come as one entry that stands for many series.
  const count = group.reduce((sum, one) => sum + (one.count ?? 1), 0);
  const note = group.length > 1 && shared((one) => one.note);
  const before = shared((one) => one.before);
  return el(
    "li",
    null,
    el(
      "p",
      { class: "what" },
      badge(kindOf(first)),
      count > 1 ? el("b", null, `${count} changes`) : null,
      el("span", { title }, name),
      el(
        "span",
        { class: "commit" },
        el("code", null, before ? `${short(before)}..${short(first.commit)}` : short(first.commit)),
        first.subject ? ` ${first.subject}` : null,
      ),
      el(
        "span",
        { class: "muted" },
        `known ${age(first.known_at, now).replace("just now", "with the newest result")}`,
      ),
      note ? el("em", null, note) : null,
    ),
    limited(group, LINES, (one) => line(one, site, end, note), el("ul", { class: "lines" })),
  );
}

function line(one, site, end, told) {
  const workload = site.workloads.find(({ slug }) => slug === one.workload)?.name ?? one.workload;
  const what = QUANTITIES[one.quantity] ?? one.quantity;
  const per = one.item && one.quantity !== "peak_memory" ? ` per ${one.item}` : "";
  const at = { w: one.workload, s: one.series, q: one.quantity, at: one.commit };
  const title = `${workload} ${one.label}`;
  return el(
    "li",
    null,
    el(
      "a",
      { class: "case", href: href("workload.html", at) },
      el("b", null, workload),
      ` ${one.label}`,
      one.count > 1 ? ` and ${one.count - 1} more` : null,
    ),
    el("span", { class: "of" }, what),
    isInterval(one.ratio) ? ratioBar(one.ratio, end, toneOf(one)) : el("span", { class: "bar" }),
    size(one),
    el(
      "span",
      { class: "now muted" },
      isInterval(one.now) ? `now ${intervalText(one.now, one.unit)}${per}` : null,
      one.note && one.note !== told ? el("em", null, one.note) : null,
    ),
    one.run
      ? el(
          "a",
          {
            class: "evidence",
            href: href("run.html", { run: one.run, case: one.case }),
            "aria-label": `Run of ${title} at ${short(one.commit)}`,
          },
          "run",
        )
      : null,
  );
}

function size(one) {
  if (!isInterval(one.ratio)) return el("span", { class: "size" }, named(one.kind));
  const { value, range } = change(one.ratio, one.quantity);
  return el(
    "span",
    { class: "size" },
    el("b", { class: toneOf(one) }, value),
    " ",
    el("span", { class: "range" }, hasEnds(one.ratio) ? range : "one point, no interval"),
  );
}
