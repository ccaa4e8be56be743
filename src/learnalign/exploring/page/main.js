// Open the page, and draw it again whenever what it shows has changed.

const onPhone = matchMedia("(max-width: 40rem)"); // as in page.css
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => state.theme || (prefersDark.matches ? "dark" : "light");

let drawnAs = {}; // what the slow parts were last drawn for

async function draw() {
  document.documentElement.dataset.theme = theme();
  byId("theme").textContent = theme() === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-pressed", String(theme() === "dark"));
  deriveFields();
  if (!fieldOf(state.colour)) state.colour = EMPTY.colour;
  drawControls();
  drawRules();
  once("filters", [state.run, state.against, state.a, state.b, JSON.stringify(state.filters)], drawFilters);
  if (byId("search") !== document.activeElement) byId("search").value = state.find;
  await onceAwaited("search", [state.run, state.find], search);
  const mask = subsetMask();
  const field = fieldOf(state.colour) ?? allFields()[0];
  const scale = scaleOf(field);
  drawLegend(field, scale);
  once("fit", [currentLayout().key], () => drawnAs.fit && fitMap());
  drawMap(mask, scale);
  drawLasso();
  drawTable(mask);
  const count = drawFigures(mask);
  byId("count").textContent = `${count.toLocaleString("en")} of ${plural(pool.size, "problem")}`;
  once("problem", [state.problem, state.run, state.against, state.a, state.b, state.k], drawProblem);
}

function once(part, values, run) {
  const key = values.join("\n");
  if (drawnAs[part] === key) return undefined;
  const result = run();
  drawnAs[part] = key;
  return result;
}

const onceAwaited = async (...parts) => once(...parts);

function chooseTab(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
}

function listen() {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => chooseTab(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = [...document.querySelectorAll("[role=tab]")].find((one) => one !== tab);
      chooseTab(other.getAttribute("aria-controls"));
      other.focus();
    });
  }
  byId("search").addEventListener("input", debounced((event) => show({ find: event.target.value }), 200));
  byId("theme").addEventListener("click", () => show({ theme: theme() === "dark" ? "light" : "dark" }));
  byId("fit").addEventListener("click", fitMap);
  byId("reset").addEventListener("click", () => {
    byId("search").value = "";
    show({ filters: {}, lasso: "", find: "" });
  });
  prefersDark.addEventListener("change", draw);
  addEventListener("hashchange", () => {
    readAddress();
    draw();
  });
}

async function start() {
  readAddress();
  await openPool();
  if (state.run >= pool.runs.length) state.run = 0;
  if (state.a && state.b && !state.k) state.k = currentRun().budget || 1;
  deriveFields();
  byId("filter-section").open = !onPhone.matches;
  openSave();
  openTable();
  openMap();
  openLasso();
  listen();
  changed = draw;
  await draw();
  if (state.problem) chooseTab("problem");
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  byId("count").textContent = `The page could not be opened: ${error.message}`;
});
