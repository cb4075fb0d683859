// Writes numbers as people read them: SI and IEC prefixes, digits that the interval justifies.

const SI = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
  [1e-3, "m"],
  [1e-6, "µ"],
  [1e-9, "n"],
  [1e-12, "p"],
];
const IEC = [
  [2 ** 40, "Ti"],
  [2 ** 30, "Gi"],
  [2 ** 20, "Mi"],
  [2 ** 10, "Ki"],
  [1, ""],
];
const TIMES_FROM = 2; // from here on a factor reads better than per cent

/** @typedef {[number, number|null, number|null]} Interval estimate, low and high at 95 % */

export function isInterval(value) {
  return Array.isArray(value) && Number.isFinite(value[0]);
}

/** Whether both ends of an interval are known. */
export function hasEnds(interval) {
  return isInterval(interval) && Number.isFinite(interval[1]) && Number.isFinite(interval[2]);
}

/** A number with so many significant digits, without an exponent where it can be helped. */
export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(digits - 1);
  const before =
    size >= 1
      ? Math.floor(Math.log10(size)) + 1
      : size === 0
        ? 1
        : Math.floor(Math.log10(size)) + 1;
  return grouped(value.toFixed(Math.min(Math.max(digits - before, 0), 8)));
}

/** A value with its unit: "2.13 ms", "12.5 MiB". */
export function quantity(value, unit, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const [factor, prefix] = scale(value, unit);
  return join(number(value / factor, digits), prefix + unit);
}

/**
 * An interval: the estimate with the digits that its width allows, and both ends.
 * @param {Interval} interval
 * @returns {{value: string, range: string}} range is empty where there is none
 */
export function interval(interval, unit) {
  const [estimate, low, high] = interval;
  if (!hasEnds(interval)) return { value: quantity(estimate, unit), range: "" };
  const [factor, prefix] = scale(estimate, unit);
  const digits = decimals(estimate / factor, (high - low) / 2 / factor);
  const write = (value) => grouped((value / factor).toFixed(digits));
  return {
    value: join(write(estimate), prefix + unit),
    range: join(`${write(low)} to ${write(high)}`, prefix + unit),
  };
}

/** An interval in one line; says so where there is none. */
export function intervalText(one, unit) {
  if (!isInterval(one)) return "no value";
  const { value, range } = interval(one, unit);
  return range ? `${value} (95 %: ${range})` : `${value} (1 process, no interval)`;
}

const WORDS = {
  time: ["slower", "faster", "the time"],
  energy: ["more energy", "less energy", "the energy"],
  peak_memory: ["more memory", "less memory", "the memory"],
};

/**
 * A change of cost in words.
 * @param {Interval} ratio after over before; above 1 is worse
 * @returns {{value: string, range: string}}
 */
export function change(ratio, of = "time") {
  const [more, less, whole] = WORDS[of] ?? ["more", "less", "the value"];
  const [estimate, low, high] = ratio;
  if (estimate >= TIMES_FROM || estimate <= 1 / TIMES_FROM) {
    return {
      value: `${number(estimate)}x ${whole}`,
      range: hasEnds(ratio) ? `95 %: ${number(low)}x to ${number(high)}x` : "no interval",
    };
  }
  const share = (value) => (value - 1) * 100;
  const width = hasEnds(ratio) ? share(high) - share(low) : Math.abs(share(estimate)) / 10;
  const digits = Math.min(tellable(width / 2), 2);
  const signed = (value) =>
    `${share(value) < 0 ? "−" : "+"}${Math.abs(share(value)).toFixed(digits)}`;
  const size = Math.abs(share(estimate)).toFixed(digits);
  return {
    value: Number(size) === 0 ? "no change" : `${size} % ${estimate > 1 ? more : less}`,
    range: hasEnds(ratio) ? `95 %: ${signed(low)} to ${signed(high)} %` : "no interval",
  };
}

/** A factor such as a speed-up: "1.92x". */
export function factor(ratio) {
  if (!isInterval(ratio)) return { value: "–", range: "" };
  const [estimate, low, high] = ratio;
  const digits = hasEnds(ratio)
    ? Math.min(Math.max(tellable((high - low) / 2), estimate < 10 ? 1 : 0), 3)
    : estimate >= 100
      ? 0
      : 2;
  const write = (value) => `${grouped(value.toFixed(digits))}x`;
  return { value: write(estimate), range: hasEnds(ratio) ? `${write(low)} to ${write(high)}` : "" };
}

export function percent(share) {
  return Number.isFinite(share) ? `${number(share * 100, 2)} %` : "–";
}

/** "2026-11-21 14:03" in UTC. */
export function moment(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const iso = safeIso(seconds);
  return iso ? `${iso.slice(0, 10)} ${iso.slice(11, 16)}` : "–";
}

export function day(seconds) {
  return moment(seconds).slice(0, 10);
}

function safeIso(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** How long ago: "just now", "5 min ago", "3 h ago", "12 d ago". */
export function age(seconds, now) {
  const gone = now - seconds;
  if (!Number.isFinite(gone)) return "";
  if (gone < 90) return "just now";
  if (gone < 5400) return `${Math.round(gone / 60)} min ago`;
  if (gone < 48 * 3600) return `${Math.round(gone / 3600)} h ago`;
  return `${Math.round(gone / 86400)} d ago`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return quantity(seconds, "s");
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** "1 case", "3 cases". */
export function counted(count, one, many = `${one}s`) {
  return `${grouped(String(count))} ${count === 1 ? one : many}`;
}

/** The first digits of a commit, as git shortens it. */
export function short(commit) {
  const name = String(commit ?? "");
  return /^[0-9a-f]{12,}$/.test(name) ? name.slice(0, 8) : name || "no commit";
}

/** Ticks of an axis: one prefix for all of them. */
export function ticks(values, unit) {
  const largest = Math.max(...values.map((value) => Math.abs(value ?? 0)));
  const logarithmic = values.some((value) => value && Math.abs(value) < largest / 1e3);
  const [shared, prefix] = scale(largest, unit);
  return values.map((value) => {
    if (value === null || value === undefined) return "";
    if (logarithmic) return quantity(value, unit, 1);
    const written = value / shared;
    return join(grouped(String(Number(written.toPrecision(5)))), prefix + unit);
  });
}

function scale(value, unit) {
  if (unit === "" || unit === "x") return [1, ""];
  const size = Math.abs(value);
  const table = unit === "B" ? IEC : SI;
  // Three digits: 999.6 us is 1.00 ms. Long times stay seconds.
  const found = table.find(([factor]) => size >= factor * 0.9995) ?? table.at(-1);
  return unit === "s" && found[0] > 1 ? [1, ""] : size === 0 ? [1, ""] : found;
}

function decimals(value, half) {
  const most = value === 0 ? 3 : 3 - Math.floor(Math.log10(Math.abs(value)));
  const wanted = half > 0 ? 1 - Math.floor(Math.log10(half)) : most;
  return Math.min(Math.max(Math.min(wanted, most), 0), 8);
}

/** Decimals up to the first digit of half the interval's width. */
function tellable(half) {
  return half > 0 ? Math.max(-Math.floor(Math.log10(half)), 0) : 2;
}

function grouped(written) {
  const [whole, rest] = written.split(".");
  const spaced = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",") : whole;
  return rest === undefined ? spaced : `${spaced}.${rest}`;
}

function join(written, unit) {
  return unit === "" ? written : unit === "x" ? `${written}x` : `${written}\u00a0${unit}`;
}
