// One problem: its prompt with LaTeX, gold answer, rollouts, neighbours, and its history.

const MARKS = { correct: "✓", wrong: "✗" };

function openProblem(problem) {
  show({ problem: pool.ids[problem], tab: "" });
  if (onPhone.matches) byId("side").scrollIntoView();
}

// The neighbours of a problem, the strongest first.
function neighboursOf(near, problem) {
  return ["nearest", "opposed"].flatMap((kind) =>
    [0, 1, 2, 3, 4]
      .map((place) => 5 * problem + place)
      .filter((at) => near[kind][at] >= 0)
      .map((at) => ({ problem: near[kind][at], cosine: near[`${kind}_cosine`][at], kind })),
  );
}

async function drawProblem() {
  const panel = byId("problem");
  const problem = pool.index.get(state.problem);
  if (problem === undefined) {
    const help = "Choose a problem: click a point on the map, or a row of the table.";
    panel.replaceChildren(element("p", { class: "hint" }, help));
    return;
  }
  const run = currentRun();
  let [prompt, texts, failure] = [null, null, null];
  try {
    [prompt, texts] = await Promise.all([
      textOf(run, "prompts", pool.promptsPerBlock, problem),
      textOf(run, "rollouts", pool.rolloutsPerBlock, problem),
    ]);
  } catch (error) {
    failure = element("p", { role: "alert" }, `Its texts cannot be read: ${error.message}`);
    drawnAs.problem = null; // tried again at the next change
  }
  if (pool.ids[problem] !== state.problem || run !== currentRun()) return;
  const code = texts?.code ?? false;
  const parts = [element("h2", { id: "problem-id", class: "id" }, state.problem), facts(problem)];
  if (failure) parts.push(failure);
  else if (prompt === null) parts.push(element("p", { class: "hint" }, "This run does not have the problem."));
  else {
    parts.push(element("h3", {}, "Prompt"), textBox(prompt, "prompt-text", code));
    parts.push(element("h3", {}, "Gold answer"), textBox(texts?.answer ?? "not given", "gold", code));
    parts.push(...findings(texts?.findings ?? []));
    parts.push(element("h3", {}, "Rollouts"), rollouts(texts?.attempts ?? [], code));
  }
  parts.push(...around(problem), ...historyOf(problem));
  panel.replaceChildren(...parts);
}

function facts(problem) {
  const rows = allFields().map((field) => [element("dt", {}, field.label), element("dd", { "data-key": field.key }, shown(field, problem))]);
  return element("details", { class: "facts", open: document.querySelector(".facts")?.open ?? false }, element("summary", {}, "Values"), element("dl", {}, ...rows.flat()));
}

// Text, its LaTeX as MathML. Dollar signs are prices unless the text has a LaTeX command; what is
// fenced or quoted as code, and all texts of a problem with programs, stay as they are.
function textBox(text, id, code) {
  const box = element("div", { class: "text", id });
  if (code) {
    box.append(element("code", {}, text));
    return box;
  }
  const delimiters = [
    { left: "$$", right: "$$", display: true },
    { left: "\\[", right: "\\]", display: true },
    { left: "\\(", right: "\\)", display: false },
  ];
  const parts = text.split(/(```[^]*?(?:```|$)|`[^`\n]+`)/);
  const words = parts.filter((_, i) => i % 2 === 0);
  if (/\\[a-zA-Z]+|[_^]/.test(words.join(" "))) delimiters.push({ left: "$", right: "$", display: false });
  parts.forEach((part, i) => {
    if (i % 2) {
      box.append(element("code", {}, part));
      return;
    }
    const own = element("span", {}, part);
    box.append(own);
    try {
      libraries.renderMath(own, { delimiters, output: "mathml", trust: false, throwOnError: false, strict: "ignore", maxExpand: 200, maxSize: 50 });
    } catch {
      own.textContent = part;
    }
  });
  return box;
}

function findings(found) {
  if (!found.length) return [];
  const items = found.map((one) => element("li", {}, element("strong", {}, one.kind), ` ${one.evidence}`));
  return [element("h3", {}, "Audit"), element("ul", { id: "findings" }, ...items)];
}

function rollouts(attempts, code) {
  if (!attempts.length) return element("p", { class: "hint" }, "No rollouts were stored.");
  const items = attempts.map((one) => {
    const kind = one.verdict in MARKS ? one.verdict : "other";
    const mark = element("span", { "aria-hidden": "true" }, `${MARKS[one.verdict] ?? "?"} `);
    const said = one.extracted_answer ?? one.parsed_answer;
    const parsed = one.parsed_answer !== null && one.parsed_answer !== said ? `, parsed as ${one.parsed_answer}` : "";
    const notes = [
      said !== null ? `answer ${said}${parsed}` : one.verdict === "unparsed answer" ? "no answer found" : null,
      plural(one.num_tokens ?? 0, "token"),
      one.truncated ? "truncated" : null,
      one.num_omitted ? `${plural(one.num_omitted, "character")} left out in the middle` : null,
      one.reward === null ? "no reward" : `reward ${asText(one.reward)}`,
      one.detail,
    ];
    const summary = element("summary", {}, element("span", { class: `verdict ${kind}` }, mark, one.verdict), element("span", { class: "hint" }, notes.filter(Boolean).join(" · ")));
    const box = element("details", { class: "rollout", ontoggle: () => box.children.length > 1 || box.append(textBox(one.completion, null, code)) }, summary);
    return element("li", {}, box);
  });
  return element("ol", { class: "rollouts" }, ...items);
}

function around(problem) {
  const { near, neighboursBy } = currentRun();
  if (!near) return [];
  const all = neighboursOf(near, problem);
  const titles = { nearest: `Trains the same (nearest by ${neighboursBy})`, opposed: `Pulls against (most opposed by ${neighboursBy})` };
  return Object.entries(titles).map(([kind, title]) => {
    const own = all.filter((one) => one.kind === kind);
    const items = own.map((one) => {
      const button = element("button", { type: "button", class: "link id", onclick: () => openProblem(one.problem) }, pool.ids[one.problem]);
      const rate = currentRun().fields.get("success_rate");
      const note = `cosine ${one.cosine.toFixed(3)}${rate ? `, success rate ${shown(rate, one.problem)}` : ""}`;
      return element("li", {}, button, element("span", { class: "hint" }, note));
    });
    const list = own.length ? element("ol", { class: kind }, ...items) : element("p", { class: "hint" }, "None.");
    return element("section", { "aria-label": title }, element("h3", {}, title), list);
  });
}

function historyOf(problem) {
  if (!pool.history) return [];
  const { begins, training, step, success_rate: rates } = pool.history;
  const rows = [];
  for (let at = begins[problem]; at < begins[problem + 1]; at += 1) {
    rows.push({ training: pool.trainings[training[at]], step: step[at] + 1, rate: rates[at] });
  }
  const title = element("h3", {}, "In training");
  if (!rows.length) return [title, element("p", { class: "hint" }, "No training met this problem.")];
  const met = pool.trainings.filter((name) => rows.some((row) => row.training === name));
  const all = rows.map((row) => row.rate); // mean rewards, which may lie outside 0 and 1
  const drawing = libraries.plot({
    ...plotStyle(),
    height: 150,
    color: { domain: met, range: met.map((name) => OKABE_ITO[pool.trainings.indexOf(name) % OKABE_ITO.length]), legend: pool.trainings.length > 1 },
    x: { label: "step" },
    y: { label: "success rate", domain: [Math.min(0, ...all), Math.max(1, ...all)], grid: true },
    marks: [
      libraries.lineY(rows, { x: "step", y: "rate", stroke: "training" }),
      libraries.dot(rows, { x: "step", y: "rate", fill: "training", r: 4 }),
    ],
  });
  const list = rows.map((row) => element("li", {}, `${row.training}, step ${row.step}: success rate ${asText(row.rate)}`));
  return [title, figure("Success rate at each step that met it", "Success rates over the training", drawing), element("details", { open: rows.length <= 8 }, element("summary", {}, plural(rows.length, "step")), element("ol", { id: "history" }, ...list))];
}
