// Filters: ranges of numbers, names, words in the prompt, and the lasso; together, a subset.

let found = null; // problems whose prompt or id contains the searched words; null without a search

// The subset as booleans, one a problem.
function subsetMask() {
  const mask = new Uint8Array(pool.size);
  const { rows } = currentRun();
  for (let i = 0; i < mask.length; i += 1) mask[i] = rows[i] >= 0 && (!found || found[i]) ? 1 : 0;
  for (const [key, values] of Object.entries(state.filters)) {
    const field = fieldOf(key);
    if (field) keepMatching(mask, field, values);
  }
  keepInside(mask);
  return mask;
}

function keepMatching(mask, field, values) {
  if (field.kind === "number") {
    const [low, high] = values;
    field.values.forEach((value, i) => {
      if (!((low === null || value >= low) && (high === null || value <= high)) || Number.isNaN(value)) mask[i] = 0;
    });
    return;
  }
  const wanted = new Set(values.map((name) => field.names.indexOf(name)).filter((code) => code >= 0));
  field.values.forEach((code, i) => {
    if (!wanted.has(code)) mask[i] = 0;
  });
}

function drawFilters() {
  const open = new Set([...byId("filters").querySelectorAll("details[open]")].map((one) => one.dataset.key));
  const focused = document.activeElement?.id;
  const parts = allFields().map((field) => {
    const active = field.key in state.filters;
    const body = field.kind === "number" ? rangeFilter(field) : nameFilter(field);
    const summary = element("summary", {}, field.label, active ? element("span", { class: "badge" }, "on") : null);
    return element("details", { "data-key": field.key, open: active || open.has(field.key) }, summary, body);
  });
  byId("filters").replaceChildren(...parts);
  if (focused && byId("filters").contains(byId(focused))) byId(focused).focus();
}

function rangeFilter(field) {
  const ends = state.filters[field.key] ?? [null, null];
  let [low, high] = [Infinity, -Infinity];
  for (const value of field.values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const inputs = ["least", "most"].map((name, end) =>
    element("input", {
      type: "number",
      step: "any",
      id: `filter-${field.key}-${name}`,
      "aria-label": `${field.label}, ${name}`,
      placeholder: asText(end ? high : low),
      value: ends[end],
      onchange: (event) => {
        const changedEnds = [...(state.filters[field.key] ?? [null, null])];
        changedEnds[end] = event.target.value === "" ? null : Number(event.target.value);
        setFilter(field.key, changedEnds.some((one) => one !== null) ? changedEnds : null);
      },
    }),
  );
  return element("div", { class: "range" }, inputs[0], element("span", { "aria-hidden": "true" }, "to"), inputs[1]);
}

function nameFilter(field) {
  const counts = new Array(field.names.length).fill(0);
  for (const code of field.values) if (code >= 0) counts[code] += 1;
  const chosen = state.filters[field.key] ?? [];
  const elsewhere = chosen.filter((name) => !field.names.includes(name)); // names of another run
  const boxes = [...field.names, ...elsewhere].map((name, code) => {
    const box = element("input", {
      type: "checkbox",
      id: `filter-${field.key}-${code}`,
      checked: chosen.includes(name),
      onchange: (event) => {
        const now = (state.filters[field.key] ?? []).filter((one) => one !== name);
        if (event.target.checked) now.push(name);
        setFilter(field.key, now.length ? now : null);
      },
    });
    const count = element("span", { class: "hint" }, (counts[code] ?? 0).toLocaleString("en"));
    return element("label", { class: "box" }, box, element("span", {}, name), count);
  });
  return element("fieldset", {}, element("legend", { class: "hidden" }, field.label), ...boxes);
}

// Search all prompts of the run; they are unpacked once, at the first search.
async function search() {
  const words = state.find.trim().toLowerCase();
  const note = byId("search-note");
  if (!words) {
    found = null;
    note.textContent = "";
    return;
  }
  note.textContent = "Searching …";
  const run = currentRun();
  const matches = new Uint8Array(pool.size);
  let prompts;
  try {
    prompts = await allPrompts(run);
  } catch (error) {
    found = null;
    drawnAs.search = null; // tried again at the next change
    note.textContent = `The prompts cannot be read: ${error.message}`;
    return;
  }
  if (words !== state.find.trim().toLowerCase()) return;
  let count = 0;
  for (let i = 0; i < pool.size; i += 1) {
    const prompt = run.rows[i] < 0 ? "" : prompts[run.rows[i]];
    matches[i] = prompt.toLowerCase().includes(words) || pool.ids[i].toLowerCase().includes(words) ? 1 : 0;
    count += matches[i];
  }
  found = matches;
  note.textContent = `${plural(count, "problem")} with these words.`;
}

async function allPrompts(run) {
  const count = run.rows.reduce((most, row) => Math.max(most, row), -1) + 1;
  const blocks = [];
  for (let i = 0; i < Math.ceil(count / pool.promptsPerBlock); i += 1) {
    blocks.push(jsonBlock(`${run.number}-prompts-${i}`));
  }
  return (await Promise.all(blocks)).flat();
}
