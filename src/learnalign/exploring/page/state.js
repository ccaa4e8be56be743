// What the page shows, all of it in the address, so that a view can be shared.

const EMPTY = {
  run: 0, // number of the run
  map: "", // key of the layout
  colour: "success_rate",
  against: "", // number of the other run
  a: "", // two rules
  b: "",
  k: 0, // their budget
  find: "",
  lasso: "", // "layout;x,y;x,y;…"
  problem: "",
  sort: "", // "key" or "-key"
  at: "", // "x,y,zoom" of the map, as in map.js; "" for the whole map
  tab: "", // "subset", "problem", or "" for the problem where there is one
  theme: "", // "light", "dark", or "" for the system's
  filters: {}, // key -> [low, high] of numbers (null for open ends), or names
};

let state = structuredClone(EMPTY);
let changed = () => {};

const WORDS = ["map", "colour", "against", "a", "b", "find", "lasso", "problem", "sort", "at", "tab", "theme"];

// Of the words that are not looked up in the pool, those that mean something; any other is ignored.
const VALID = {
  at: (text) => placeOf(text) !== null,
  tab: (text) => text === "subset" || text === "problem",
  theme: (text) => text === "light" || text === "dark",
};

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  state = structuredClone(EMPTY);
  for (const name of WORDS) {
    const word = parts.get(name) ?? EMPTY[name];
    state[name] = (VALID[name]?.(word) ?? true) ? word : EMPTY[name];
  }
  for (const name of ["run", "k"]) state[name] = Math.max(0, Number.parseInt(parts.get(name), 10) || 0);
  for (const [name, value] of parts) {
    const key = name.slice(2);
    if (name.startsWith("r.")) {
      const ends = value.split("..").map((end) => (end === "" ? null : Number(end)));
      if (ends.length === 2 && ends.every((end) => end === null || Number.isFinite(end))) {
        state.filters[key] = ends;
      }
    } else if (name.startsWith("n.")) {
      state.filters[key] = [...(Object.hasOwn(state.filters, key) ? state.filters[key] : []), value];
    }
  }
}

function address() {
  const parts = new URLSearchParams();
  for (const name of ["run", "k", ...WORDS]) {
    if (String(state[name]) !== String(EMPTY[name])) parts.set(name, state[name]);
  }
  for (const [key, values] of Object.entries(state.filters)) {
    if (fieldOf(key)?.kind === "number") {
      parts.set(`r.${key}`, values.map((end) => end ?? "").join(".."));
    } else for (const value of values) parts.append(`n.${key}`, value);
  }
  return parts.toString();
}

const writeAddress = debounced(() => {
  const wanted = address();
  if (wanted !== location.hash.slice(1)) history.replaceState(null, "", `#${wanted}`);
}, 150);

// Change what is shown.
function show(changes) {
  state = { ...state, ...changes };
  writeAddress();
  changed();
}

function setFilter(key, values) {
  const filters = { ...state.filters };
  if (values) filters[key] = values;
  else delete filters[key];
  show({ filters });
}
