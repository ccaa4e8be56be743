// The pool: runs with their fields, maps and rankings; and fields that compare rules or runs.

// Fields whose values lie between 0 and 1, so that colours mean the same in every run; success rates
// are mean rewards, which may lie elsewhere.
const SHARES = new Set(["success_rate", "stability"]);

// From 0 to 1 if these fields' values all lie there in every run, else from the least to the largest.
function rangeOf(key) {
  let [low, high] = [0, 1];
  for (const run of pool.runs) {
    for (const value of run.fields.get(key)?.values ?? []) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

let pool = null;

async function openPool() {
  const about = await jsonBlock("about");
  const columns = await columnsOf(about.columns);
  const runs = about.runs.map((run, number) => {
    const column = (name) => columns.get(`${number}:${name}`);
    return {
      ...run,
      number,
      rows: column("rows"),
      fields: new Map(
        run.fields.map((one) => [one.key, { ...one, values: column(`field:${one.key}`) }]),
      ),
      layouts: run.layouts.map((one) => ({
        ...one,
        points: column(`layout:${one.key}`),
        placed: column(`placed:${one.key}`),
      })),
      ranks: new Map(run.methods.map((name) => [name, column(`rank:${name}`)])),
      near: run.neighboursBy
        ? Object.fromEntries(
            ["nearest", "nearest_cosine", "opposed", "opposed_cosine"].map((name) => [
              name,
              column(`neighbours:${name}`),
            ]),
          )
        : null,
    };
  });
  const history = about.trainings.length
    ? Object.fromEntries(
        ["training", "step", "success_rate", "begins"].map((name) => [
          name,
          columns.get(`history:${name}`),
        ]),
      )
    : null;
  const index = new Map(about.ids.map((id, number) => [id, number]));
  pool = { ...about, runs, history, index, size: about.ids.length };
}

const currentRun = () => pool.runs[state.run] ?? pool.runs[0];
const otherRun = () => (state.against === "" ? null : (pool.runs[Number(state.against)] ?? null));
const currentLayout = () =>
  currentRun().layouts.find((one) => one.key === state.map) ?? currentRun().layouts[0];

// What the first K of rule A and of rule B have in common: a field like any other.
function choiceField() {
  const run = currentRun();
  const one = run.ranks.get(state.a);
  const other = run.ranks.get(state.b);
  if (!one || !other) return null;
  const names = ["both", `only ${state.a}`, `only ${state.b}`, "neither"];
  const values = Int32Array.from(one, (rank, i) => {
    if (!rank && !other[i]) return -1;
    const first = rank > 0 && rank <= state.k;
    const second = other[i] > 0 && other[i] <= state.k;
    return first ? (second ? 0 : 1) : second ? 2 : 3;
  });
  return { key: "choice", label: "two rules", kind: "name", names, values };
}

// The other run's value minus this run's, for each number that both have.
function changeFields() {
  const other = otherRun();
  if (!other || other === currentRun()) return [];
  return [...currentRun().fields.values()]
    .filter((one) => one.kind === "number" && other.fields.has(one.key))
    .map((one) => ({
      key: `change_${one.key}`,
      label: `change in ${one.label}`,
      kind: "number",
      change: true,
      names: [],
      values: other.fields.get(one.key).values.map((value, i) => value - one.values[i]),
    }));
}

let derived = new Map();

function deriveFields() {
  const found = [choiceField(), ...changeFields()].filter(Boolean);
  derived = new Map(found.map((one) => [one.key, one]));
}

const fieldOf = (key) => derived.get(key) ?? currentRun().fields.get(key) ?? null;
const allFields = () => {
  const own = [...currentRun().fields.values()];
  const names = own.filter((one) => one.kind === "name");
  return [...derived.values(), ...names, ...own.filter((one) => one.kind === "number")];
};

// A value as text: whole numbers with separators, others with four digits.
function shown(field, problem) {
  const value = field.values[problem];
  if (field.kind === "name") return value < 0 ? "—" : field.names[value];
  return asText(value);
}

function asText(value) {
  if (!Number.isFinite(value)) return "—";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return String(Number(value.toPrecision(4)));
}

const percent = (share) => (Number.isFinite(share) ? `${Math.round(100 * share)} %` : "—");
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
