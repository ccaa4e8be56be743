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
  drawAbout();
  drawControls();
  drawRules();
  once("filters", [state.run, state.against, state.a, state.b, JSON.stringify(state.filters)], drawFilters);
  if (byId("search") !== document.activeElement) byId("search").value = state.find;
  await onceAwaited("search", [state.run, state.find], search);
  const mask = subsetMask();
  const field = fieldOf(state.colour) ?? allFields()[0];
  const scale = scaleOf(field);
  drawLegend(field, scale);
  once("place", [currentLayout().key, state.at], placeMap);
  drawMap(mask, scale);
  drawLasso();
  drawTable(mask);
  const count = drawFigures(mask);
  byId("count").textContent = `${count.toLocaleString("en")} of ${plural(pool.size, "problem")}`;
  drawTabs();
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

function drawTabs() {
  const open = state.tab || (state.problem ? "problem" : "subset");
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const panel = tab.getAttribute("aria-controls");
    const chosen = panel === open;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(panel).hidden = !chosen;
  }
}

const chooseTab = (tab) => show({ tab: tab.getAttribute("aria-controls") });

function listen() {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => chooseTab(tab));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = [...document.querySelectorAll("[role=tab]")].find((one) => one !== tab);
      chooseTab(other);
      other.focus();
    });
  }
  byId("search").addEventListener("input", debounced((event) => show({ find: event.target.value }), 200));
  byId("theme").addEventListener("click", () => show({ theme: theme() === "dark" ? "light" : "dark" }));
  byId("fit").addEventListener("click", () => show({ at: "" }));
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
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  byId("count").textContent = `The page could not be opened: ${error.message}`;
});
