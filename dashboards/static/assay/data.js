// Reads the published JSON. A name gets into a path only after it was found in a list of the data.

const SAFE = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const loaded = new Map();

/** What a reader can do something about; its text is shown in the page. */
export class DataError extends Error {}

/**
 * The JSON of a file below data/, fetched once a page.
 * @param {...string} names folders and file, without the ending
 */
export function load(...names) {
  for (const name of names) {
    if (!SAFE.test(name))
      return Promise.reject(new DataError(`“${name}” is not the name of a file here.`));
  }
  const path = `data/${names.join("/")}.json`;
  if (!loaded.has(path)) {
    const answer = read(path);
    loaded.set(path, answer);
    answer.catch(() => loaded.delete(path));
  }
  return loaded.get(path);
}

async function read(path) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-cache" });
  } catch {
    throw new DataError(`${path} cannot be fetched; serve this folder with \`assay preview\`.`);
  }
  if (!answer.ok) {
    throw new DataError(
      `${path} is not there (HTTP ${answer.status}); publish again with \`assay publish\`.`,
    );
  }
  try {
    return await answer.json();
  } catch {
    throw new DataError(`${path} is not JSON; publish again with \`assay publish\`.`);
  }
}

/** What the address says after its #. */
export function hash() {
  return new URLSearchParams(location.hash.slice(1));
}

/** An address of one of our pages; empty values are left out. */
export function href(page, values = {}) {
  const given = Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `${page}#${text}`;
}

/** Say in the address what is shown, without a new entry in the browser's history. */
export function remember(values) {
  history.replaceState(null, "", href("", values));
}

/** The device with an id: `{name, title}` for people; says so where it is unknown. */
export function device(site, id) {
  const found = site.devices.find((one) => one.id === id);
  if (!found) return { name: `device ${id}`, title: "not in the list of devices" };
  const index = found.index ? ` ${found.index}` : "";
  return {
    name: `${found.machine} · ${found.backend}${index}`,
    title: found.model || found.backend,
  };
}
