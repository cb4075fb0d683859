// The first page of the morning: what changed, what failed, which devices reported.

import { changes } from "./changes.js";
import { device, href, load } from "./data.js";
import { el, folded, limited, table } from "./dom.js";
import { age, counted, duration, moment, short } from "./format.js";
import { badge } from "./marks.js";
import { missing, notMeasured } from "./missing.js";
import { nothing, run } from "./shell.js";

const STALE_S = 36 * 3600; // a nightly device that missed a night

// Addresses of asv's own page, from when it was the first one.
const ASV_ADDRESS = /^#(\/|[^=?]*\.(time|peak_memory|energy)(\?|$))/;

run(async (site) => {
  if (site.asv && ASV_ADDRESS.test(location.hash)) location.replace(`asv.html${location.hash}`);
  const data = await load("overview");
  const latest = (period) => data.changes.filter((one) => one.period === period);
  return {
    title: "Overview",
    nodes: [
      el("h1", null, "Overview"),
      summary(data),
      ...section("Since yesterday", `since ${moment(data.day)} UTC`, latest("day"), site, data),
      ...section(
        "Last week",
        `${moment(data.week)} to ${moment(data.day)} UTC`,
        latest("week"),
        site,
        data,
      ),
      ...older(latest("older"), site, data),
      ...missing(site, data),
      ...devices(site, data),
      ...notMeasured(site, data),
      ...leftOut(data),
    ],
  };
});

function summary(data) {
  const recent = data.changes.filter((one) => one.period === "day");
  const count = (test) => recent.filter(test).length;
  const environments = new Set(
    recent.filter((one) => one.kind === "environment").map((one) => `${one.device} ${one.commit}`),
  );
  const broken = data.missing.filter((one) => one.outcome !== "skipped");
  const fresh = broken.some((one) => one.new);
  const stale = data.devices.filter((one) => data.as_of - one.last > STALE_S).length;
  const [worse, better] = ["regression", "improvement"].map((verdict) =>
    count((one) => one.verdict === verdict),
  );
  const failing = total(broken);
  const plural = (value, word) => (value === 1 ? word : `${word}s`);
  const tile = (value, words, tone, target) =>
    el(
      "li",
      { class: value > 0 ? tone : "calm" },
      el("a", { href: target, click: jump }, el("b", null, value), ` ${words}`),
    );
  return el(
    "ul",
    { class: "tiles", "aria-label": "In short" },
    tile(worse, `${plural(worse, "regression")} since yesterday`, "regression", "#since-yesterday"),
    tile(better, plural(better, "improvement"), "improvement", "#since-yesterday"),
    tile(
      environments.size,
      plural(environments.size, "environment change"),
      "environment",
      "#since-yesterday",
    ),
    tile(
      failing,
      `${plural(failing, "case")} failing, ${fresh ? "some" : "none"} of them newly`,
      "regression",
      "#failures",
    ),
    tile(
      stale,
      `of ${counted(data.devices.length, "device")} without a result for 36 h`,
      "stale",
      "#devices",
    ),
  );
}

function total(groups) {
  return groups.reduce((sum, one) => sum + one.count, 0);
}

/** Go to a heading of this page; the part after # stays the page's own. */
function jump(event) {
  event.preventDefault();
  const heading = document.getElementById(event.currentTarget.getAttribute("href").slice(1));
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus();
}

function section(title, when, found, site, data) {
  const heading = el(
    "h2",
    { id: title.toLowerCase().replaceAll(" ", "-") },
    title,
    el("small", null, when),
  );
  if (found.length) return [heading, ...changes(found, site, data.as_of)];
  const { results, commits } = data.counts;
  return [
    heading,
    nothing(
      `Nothing changed: no regression, improvement or new environment among ${counted(results, "result")} of ` +
        `${counted(commits, "commit")} on ${counted(data.devices.length, "device")}.`,
    ),
  ];
}

function older(found, site, data) {
  if (!found.length) return [];
  return [
    folded(el("h2", null, `Older (${found.length})`), () => changes(found, site, data.as_of), {
      name: "older",
    }),
  ];
}

function devices(site, data) {
  const heading = el("h2", { id: "devices" }, "Devices");
  if (!data.devices.length) return [heading, nothing("No device has reported.")];
  return [
    heading,
    limited(data.devices, 24, (one) => card(one, site, data), el("ul", { class: "cards" })),
  ];
}

function card(one, site, data) {
  const { name, title } = device(site, one.device);
  const old = data.as_of - one.last > STALE_S;
  const row = (label, ...value) => [el("dt", null, label), el("dd", null, value)];
  const counts = (period) => {
    const [worse = 0, better = 0, environment = 0] = one.changes?.[period] ?? [];
    if (!worse && !better && !environment) return "none";
    return [
      worse ? badge("regression", `${worse} worse`) : null,
      better ? badge("improvement", `${better} better`) : null,
      environment ? badge("environment", `${environment} environment`) : null,
    ];
  };
  return el(
    "li",
    { class: "card" },
    el("h3", null, name),
    el("p", { class: "muted" }, title),
    el(
      "dl",
      null,
      row(
        "Cases",
        `${one.ok} ok`,
        one.failed ? [", ", el("span", { class: "worse" }, `${one.failed} failed`)] : null,
        one.skipped ? `, ${one.skipped} skipped` : null,
      ),
      row(
        "Newest",
        old
          ? badge("unavailable", `${duration(data.as_of - one.last)} before the newest`)
          : age(one.last, data.as_of).replace("just now", "with the newest"),
        ` at ${short(one.commit)}`,
      ),
      row("Environment", el("span", { class: "mono" }, one.environment || "unknown")),
      row("Since yesterday", counts("day")),
      row("Last week", counts("week")),
    ),
  );
}

function leftOut(data) {
  const { results, commits } = data.counts;
  const nodes = [
    el("h2", null, "What these pages rest on"),
    el(
      "p",
      { class: "muted" },
      `${counted(results, "result")} of ${counted(commits, "commit")}.`,
      " ",
      el("a", { href: href("run.html") }, "All runs"),
    ),
  ];
  if (data.left_out.length) {
    const columns = [
      { head: "Reason", cell: ([reason]) => reason, kind: "head" },
      { head: "Results", cell: ([, count]) => count, kind: "num" },
    ];
    nodes.push(
      el("h3", null, "Left out of the histories", el("small", null, "they stay stored")),
      table("Results left out of the histories", columns, data.left_out),
    );
  }
  if (data.problems.length) {
    nodes.push(
      el("h3", null, "Problems"),
      limited(data.problems, 10, (text) => el("li", null, text), el("ul", { class: "problem" })),
    );
  }
  const cut = Object.entries(data.more ?? {}).filter(([, count]) => count > 0);
  if (cut.length)
    nodes.push(
      nothing(
        `Not listed on this page: ${cut.map(([what, count]) => `${counted(count, "entry", "entries")} of ${what}`).join(", ")}.`,
      ),
    );
  return nodes;
}
