// The controls beside the map: which run, map and colour, and which two rules.

function choice(id, label, options, value, choose) {
  const select = element("select", { id, onchange: (event) => choose(event.target.value) });
  for (const { key, label: text } of options) {
    select.append(element("option", { value: key, selected: key === value }, text));
  }
  return [element("label", { for: id }, label), select];
}

// The policy and the rule of the run, and of the one that it is compared with.
function drawAbout() {
  const lines = [currentRun(), otherRun()].filter(Boolean).map((run) => {
    const name = pool.runs.length > 1 ? `${run.name}: ` : "";
    const chosen = run.budget ? `${plural(run.budget, "problem")} chosen by ${run.method}` : `ranked by ${run.method}`;
    return `${name}policy ${run.model}, ${chosen}`;
  });
  byId("about-runs").textContent = lines.join("; ");
}

function drawControls() {
  const runs = pool.runs.map((run, i) => ({ key: String(i), label: run.name }));
  const none = { key: "", label: "none" };
  const parts = [];
  if (runs.length > 1) {
    const others = [none, ...runs.filter((one) => one.key !== String(state.run))];
    parts.push(...choice("run", "Run", runs, String(state.run), (value) => chooseRun(Number(value))));
    parts.push(...choice("against", "Compare with", others, state.against, chooseOther));
  }
  const maps = currentRun().layouts;
  parts.push(...choice("layout", "Placed by", maps, currentLayout().key, (map) => show({ map, at: "" })));
  const colours = allFields();
  parts.push(...choice("colour", "Colour", colours, state.colour, (colour) => show({ colour })));
  replaceKeepingFocus(byId("map-controls"), parts);
}

function chooseRun(run) {
  show({ run, against: state.against === String(run) ? "" : state.against });
}

function chooseOther(against) {
  const colour = against === "" ? EMPTY.colour : "change_success_rate";
  show({ against, colour });
}

function drawRules() {
  const run = currentRun();
  const methods = [...run.ranks.keys()].map((key) => ({ key, label: key }));
  const options = [{ key: "", label: "none" }, ...methods];
  const parts = [
    ...choice("rule-a", "Rule A", options, state.a, (a) => chooseRules(a, state.b)),
    ...choice("rule-b", "Rule B", options, state.b, (b) => chooseRules(state.a, b)),
  ];
  if (derived.has("choice")) {
    const most = run.ranks.get(state.a).reduce((largest, rank) => Math.max(largest, rank), 1);
    const budget = element("input", {
      type: "range",
      id: "budget",
      min: 1,
      max: most,
      value: state.k,
      oninput: (event) => show({ k: Number(event.target.value) }),
    });
    const number = element("input", {
      type: "number",
      id: "budget-number",
      "aria-label": "Problems that each rule takes",
      min: 1,
      max: most,
      value: state.k,
      onchange: (event) => show({ k: Math.min(most, Math.max(1, Math.round(Number(event.target.value)) || 1)) }),
    });
    parts.push(element("label", { for: "budget" }, "Budget"), element("div", { class: "budget" }, budget, number));
    parts.push(element("p", { id: "rule-note", class: "hint", role: "status" }, rulesInWords()));
  }
  replaceKeepingFocus(byId("rule-controls"), parts);
}

// Choosing two rules colours the map by them.
function chooseRules(a, b) {
  const k = state.k || currentRun().budget || Math.round(pool.size / 10) || 1;
  const both = a !== "" && b !== "";
  const filters = { ...state.filters };
  delete filters.choice;
  show({ a, b, k, filters, colour: both ? "choice" : state.colour === "choice" ? EMPTY.colour : state.colour });
}

function rulesInWords() {
  const field = derived.get("choice");
  const counts = [0, 0, 0, 0];
  for (const code of field.values) if (code >= 0) counts[code] += 1;
  const [both, first, second] = counts;
  return `Both take ${both.toLocaleString("en")}; only ${state.a} ${first.toLocaleString("en")}; only ${state.b} ${second.toLocaleString("en")}.`;
}

// A control that a person is using is not replaced: only its properties are set.
function replaceKeepingFocus(parent, parts) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const same = focused && parts.flatMap((part) => [part, ...part.querySelectorAll("*")]).find((part) => part.id && part.id === focused.id);
  if (!same) {
    parent.replaceChildren(...parts);
    return;
  }
  if (focused.type === "range") {
    for (const fresh of parts.flatMap((part) => [part, ...part.querySelectorAll("*")])) {
      const old = fresh.id && byId(fresh.id);
      if (!old || old === focused) continue;
      if ("value" in fresh) old.value = fresh.value;
      else old.textContent = fresh.textContent;
    }
    return;
  }
  parent.replaceChildren(...parts);
  byId(focused.id).focus();
}
