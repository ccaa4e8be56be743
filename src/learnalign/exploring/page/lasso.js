// The lasso: a line drawn around problems on the map, kept in the map's own coordinates.

let lassoing = false;
let drawn = []; // pixels of the line that is being drawn

function openLasso() {
  const drawing = byId("lasso-drawing");
  byId("lasso").addEventListener("click", () => setLassoing(!lassoing));
  byId("unlasso").addEventListener("click", () => show({ lasso: "" }));
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    drawn = [pixel(event)];
    event.preventDefault();
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!drawn.length) return;
    const [x, y] = pixel(event);
    const [lastX, lastY] = drawn.at(-1);
    if (Math.hypot(x - lastX, y - lastY) < 4) return;
    drawn.push([x, y]);
    drawPath(drawn);
  });
  drawing.addEventListener("pointerup", () => {
    const line = drawn;
    drawn = [];
    setLassoing(false);
    if (line.length < 3) {
      drawLasso();
      return;
    }
    const corners = line.map((at) => coordinates(at).map((value) => Number(value.toFixed(4))).join(","));
    show({ lasso: [currentLayout().key, ...corners].join(";") });
  });
  drawing.addEventListener("pointercancel", () => {
    drawn = [];
    drawLasso();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && lassoing) setLassoing(false);
  });
}

function setLassoing(on) {
  lassoing = on;
  byId("lasso").setAttribute("aria-pressed", String(on));
  byId("lasso-drawing").classList.toggle("active", on);
}

const pixel = (event) => {
  const box = byId("lasso-drawing").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

// Pixels to the map's coordinates and back; the map's view is orthographic.
function coordinates([x, y]) {
  const { clientWidth, clientHeight } = byId("map");
  const scale = 2 ** view.zoom;
  return [view.target[0] + (x - clientWidth / 2) / scale, view.target[1] - (y - clientHeight / 2) / scale];
}

function pixels([x, y]) {
  const { clientWidth, clientHeight } = byId("map");
  const scale = 2 ** view.zoom;
  return [clientWidth / 2 + (x - view.target[0]) * scale, clientHeight / 2 - (y - view.target[1]) * scale];
}

// The lasso's layout and corners; null without one.
function lassoOf() {
  const [key, ...corners] = state.lasso.split(";");
  const layout = currentRun().layouts.find((one) => one.key === key);
  const polygon = corners.map((corner) => corner.split(",").map(Number));
  const whole = polygon.length > 2 && polygon.every((at) => at.length === 2 && at.every(Number.isFinite));
  return layout && whole ? { layout, polygon } : null;
}

function keepInside(mask) {
  const lasso = lassoOf();
  if (!lasso) return;
  const { points } = lasso.layout;
  for (let i = 0; i < mask.length; i += 1) {
    if (mask[i] && !libraries.polygonContains(lasso.polygon, [points[2 * i], points[2 * i + 1]])) mask[i] = 0;
  }
}

function drawLasso() {
  if (drawn.length || !pool) return;
  const lasso = lassoOf();
  byId("unlasso").hidden = !lasso;
  drawPath(lasso && lasso.layout === currentLayout() ? lasso.polygon.map(pixels) : []);
}

function drawPath(line) {
  const path = line.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  byId("lasso-drawing").firstElementChild.setAttribute("d", path && `${path}Z`);
}
