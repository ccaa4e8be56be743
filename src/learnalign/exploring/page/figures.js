// The subset's figures beside the pool's: means, success rates, sources and verdicts.

const SHOWN = [
  ["success_rate", "mean success rate"],
  ["learnability", "mean learnability"],
  ["alignment", "mean alignment"],
  ["score", "mean score"],
  ["mean_response_tokens", "mean tokens per response"],
];

// The numbers of a subset (or the pool); the tests compute the same from the tables.
function statistics(mask) {
  const run = currentRun();
  const found = { count: 0 };
  for (const inside of mask) found.count += inside;
  const means = SHOWN.filter(([key]) => run.fields.has(key)).map(([key, label]) => {
    let [sum, known] = [0, 0];
    run.fields.get(key).values.forEach((value, i) => {
      if (mask[i] && Number.isFinite(value)) {
        sum += value;
        known += 1;
      }
    });
    return { key, label, text: known ? asText(sum / known) : "—" };
  });
  const signal = shareOf(mask, run.fields.get("learnability"), (value) => value > 0);
  const chosen = shareOf(mask, run.fields.get("selected"), (code) => code === 0);
  found.rows = [
    { key: "count", label: "problems", text: found.count.toLocaleString("en") },
    { key: "signal", label: "with signal", text: percent(signal) },
    { key: "chosen", label: "chosen by this run", text: percent(chosen) },
    ...means,
  ];
  return found;
}

function shareOf(mask, field, test) {
  let [yes, all] = [0, 0];
  field?.values.forEach((value, i) => {
    if (!mask[i]) return;
    all += 1;
    if (test(value)) yes += 1;
  });
  return all ? yes / all : Number.NaN;
}

let poolMask = null;

function drawFigures(mask) {
  poolMask = Uint8Array.from(currentRun().rows, (row) => (row >= 0 ? 1 : 0));
  const own = statistics(mask);
  const whole = statistics(poolMask);
  const rows = own.rows.map((row, i) =>
    element("tr", { "data-key": row.key }, element("th", { scope: "row" }, row.label), element("td", {}, row.text), element("td", {}, whole.rows[i].text)),
  );
  const head = element("tr", {}, element("td"), element("th", { scope: "col" }, "subset"), element("th", { scope: "col" }, "pool"));
  const table = element("table", { id: "statistics" }, element("caption", { class: "hidden" }, "The subset and the pool"), element("thead", {}, head), element("tbody", {}, ...rows));
  const plots = [histogram(mask, "success_rate"), bars(mask, "source"), bars(mask, currentLayout().groups), runsPlot(mask)];
  byId("subset-figures").replaceChildren(table, ...plots.filter(Boolean));
  return own.count;
}

const plotStyle = () => ({ width: 320, marginTop: 20, style: { background: "transparent", color: "inherit", fontSize: "11px" } });

function figure(title, description, drawing) {
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", description);
  return element("figure", {}, element("figcaption", {}, title), drawing);
}

// One bin for each possible rate if every problem has as many rollouts, at most 32; else eleven.
function binsOf(field) {
  const counts = new Set(currentRun().fields.get("num_rollouts")?.values.filter(Number.isFinite));
  const [group] = counts;
  const exact = counts.size === 1 && group <= 32;
  return exact && field.values.every((rate) => !(Math.abs(rate * group - Math.round(rate * group)) > 1e-6)) ? group + 1 : 11;
}

function histogram(mask, key) {
  const field = currentRun().fields.get(key);
  if (!field) return null;
  const [low, high] = rangeOf(key);
  const wide = high - low;
  const bins = wide === 1 ? binsOf(field) : 11;
  const count = (inside) => {
    const counts = new Array(bins).fill(0);
    let all = 0;
    field.values.forEach((value, i) => {
      if (!inside[i] || !Number.isFinite(value)) return;
      counts[Math.min(bins - 1, Math.max(0, Math.round(((value - low) / wide) * (bins - 1))))] += 1;
      all += 1;
    });
    return counts.map((one, at) => ({ low: low + (wide * (at - 0.45)) / (bins - 1), high: low + (wide * (at + 0.45)) / (bins - 1), share: one / (all || 1) }));
  };
  const drawing = libraries.plot({
    ...plotStyle(),
    height: 150,
    x: { label: field.label, domain: [low - 0.05 * wide, high + 0.05 * wide] },
    y: { label: "share of problems", percent: true, grid: true },
    marks: [
      libraries.rectY(count(poolMask), { x1: "low", x2: "high", y: "share", fill: "var(--rest)" }),
      libraries.rectY(count(mask), { x1: "low", x2: "high", y: "share", fill: "var(--accent)", fillOpacity: 0.75, inset: 3 }),
      libraries.ruleY([0]),
    ],
  });
  return figure("Success rates: subset in front, pool behind", "Histogram of success rates of the subset and the pool", drawing);
}

function bars(mask, key) {
  const field = currentRun().fields.get(key);
  if (!field || field.names.length < 2) return null;
  const [inside, all] = [new Array(field.names.length).fill(0), new Array(field.names.length).fill(0)];
  field.values.forEach((code, i) => {
    if (code < 0 || !poolMask[i]) return;
    all[code] += 1;
    inside[code] += mask[i];
  });
  const rows = field.names.map((name, code) => ({ name, all: all[code], inside: inside[code] }));
  rows.sort((x, y) => y.all - x.all);
  const few = rows.slice(0, 12);
  const drawing = libraries.plot({
    ...plotStyle(),
    height: 36 + 20 * few.length,
    marginTop: 8,
    marginLeft: 150,
    x: { label: "problems", grid: true },
    y: { label: null, domain: few.map((row) => row.name), tickFormat: (name) => (name.length > 24 ? `${name.slice(0, 15)}…${name.slice(-8)}` : name) },
    marks: [
      libraries.barX(few, { x: "all", y: "name", fill: "var(--rest)" }),
      libraries.barX(few, { x: "inside", y: "name", fill: "var(--accent)", inset: 3 }),
    ],
  });
  return figure(`By ${field.label}${rows.length > 12 ? ", the 12 largest" : ""}`, `Problems of the subset and the pool by ${field.label}`, drawing);
}

// How the subset's problems moved from this run to the other.
function runsPlot(mask) {
  const other = otherRun();
  const [before, after] = [currentRun(), other].map((run) => run?.fields.get("success_rate")?.values);
  if (!before || !after) return null;
  const [low, high] = rangeOf("success_rate");
  const near = (value) => low + ((high - low) * Math.round((20 * (value - low)) / (high - low))) / 20;
  const counted = (place) => {
    const cells = new Map();
    before.forEach((value, i) => {
      if (!mask[i] || !Number.isFinite(value) || !Number.isFinite(after[i])) return;
      const cell = [place(value), place(after[i])];
      cells.set(cell.join(), { before: cell[0], after: cell[1], count: (cells.get(cell.join())?.count ?? 0) + 1 });
    });
    return cells;
  };
  const exact = counted((value) => value);
  const cells = exact.size <= 400 ? exact : counted(near);
  const drawing = libraries.plot({
    ...plotStyle(),
    height: 280,
    x: { label: `success rate in ${currentRun().name}`, domain: [low, high] },
    y: { label: `in ${other.name}`, domain: [low, high], grid: true },
    r: { range: [0, 14] },
    marks: [
      libraries.lineY([low, high], { x: (value) => value, y: (value) => value, stroke: "currentColor", strokeOpacity: 0.4, strokeDasharray: "3,3" }),
      libraries.dot([...cells.values()], { x: "before", y: "after", r: "count", fill: "var(--accent)", fillOpacity: 0.7 }),
    ],
  });
  return figure("How the subset moved", "Success rates in both runs", drawing);
}
