// The map: points by WebGL (deck.gl), the groups' names, and rings around a problem's neighbours.

let deck = null;
let subset = new Int32Array(); // indices of the problems in the subset that are on the map
let view = { target: [0, 0, 0], zoom: 8 };

const NAME_SIZE = 13; // pixels

function openMap() {
  const parent = byId("map");
  try {
    deck = new libraries.Deck({
      parent,
      views: new libraries.OrthographicView({ flipY: false }),
      viewState: view,
      controller: { keyboard: true, doubleClickZoom: false },
      onViewStateChange: ({ viewState }) => {
        setView(viewState);
        state.at = placeText();
        writeAddress();
      },
      onError: (error) => mapFailed(error),
      onHover: ({ index, x, y, layer }) => showTip(layer?.id === "subset" ? subset[index] : -1, x, y),
      onClick: ({ index, layer }) => {
        if (layer?.id === "subset" && index >= 0) openProblem(subset[index]);
      },
      getCursor: ({ isHovering }) => (lassoing ? "crosshair" : isHovering ? "pointer" : "grab"),
      layers: [],
    });
  } catch (error) {
    mapFailed(error);
  }
  new ResizeObserver(debounced(placeMap, 100)).observe(parent);
  placeMap();
}

function mapFailed(error) {
  byId("map-note").textContent = `The map needs WebGL 2, which this browser does not offer (${error.message}). Everything else works.`;
}

// How far the map moves from its middle, in its own coordinates, and zooms, in powers of two, from
// the zoom that shows the whole map.
const FARTHEST = { place: 3, out: -2, in: 9 };

let fitted = 8; // the zoom that shows the whole map

// The place and zoom in an address; null for any other text.
function placeOf(text) {
  if (!/^(-?\d{1,2}(\.\d{1,6})?,){2}-?\d{1,2}(\.\d{1,6})?$/.test(text)) return null;
  const [x, y, zoom] = text.split(",").map(Number);
  const near = Math.max(Math.abs(x), Math.abs(y)) <= FARTHEST.place;
  return near && zoom >= FARTHEST.out && zoom <= FARTHEST.in ? [x, y, zoom] : null;
}

// The map's zoom is relative to the whole map's, so that other screens show the same problems.
function placeText() {
  const [x, y] = view.target;
  return [x, y, view.zoom - fitted].map((value) => Number(value.toFixed(6))).join(",");
}

// Show what the address says, or the whole map, at the map's present size.
function placeMap() {
  const { clientWidth, clientHeight } = byId("map");
  let low = -1.05;
  currentLayout().placed.forEach((on) => {
    if (!on) low = -1.5;
  });
  const note = onPhone.matches ? 76 : 52; // pixels for two lines below the map, or one, and as many above
  fitted = Math.log2(Math.max(40, Math.min((clientWidth - 24) / 2.2, (clientHeight - note) / (1.05 - low))));
  const [x, y, zoom] = placeOf(state.at) ?? [0, (low + 1.05) / 2, 0];
  setView({ target: [x, y, 0], zoom: fitted + zoom });
}

function setView(wanted) {
  const { target: [x, y], zoom } = wanted;
  const within = (value, least, most) => Math.min(most, Math.max(least, value));
  const [inX, inY] = [x, y].map((value) => within(value, -FARTHEST.place, FARTHEST.place));
  view = { ...wanted, target: [inX, inY, 0], zoom: within(zoom, fitted + FARTHEST.out, fitted + FARTHEST.in) };
  deck?.setProps({ viewState: view });
  drawLasso();
}

function drawMap(mask, scale) {
  if (!deck) return;
  const layout = currentLayout();
  const { points } = layout;
  const [rest, grey, coloured] = [[], [], []]; // the last are drawn on top
  for (let i = 0; i < pool.size; i += 1) {
    if (Number.isNaN(points[2 * i])) continue;
    (mask[i] ? (scale.grey(i) ? grey : coloured) : rest).push(i);
  }
  subset = Int32Array.from([...grey, ...coloured]);
  const colours = new Uint8Array(4 * subset.length);
  subset.forEach((problem, at) => {
    const [red, green, blue] = scale.colour(problem);
    colours.set([red, green, blue, 225], 4 * at);
  });
  const radius = pool.size < 400 ? 6 : pool.size < 4000 ? 4 : pool.size < 30000 ? 2.6 : 1.8;
  const common = { radiusUnits: "pixels", getRadius: radius, radiusMinPixels: radius };
  const dim = theme() === "dark" ? [120, 128, 138, 60] : [120, 128, 138, 50];
  deck.setProps({
    layers: [
      new libraries.ScatterplotLayer({
        ...common,
        id: "rest",
        data: { length: rest.length, attributes: { getPosition: { value: positions(points, rest), size: 2 } } },
        getFillColor: dim,
        updateTriggers: { getFillColor: theme() },
      }),
      new libraries.ScatterplotLayer({
        ...common,
        id: "subset",
        pickable: true,
        data: {
          length: subset.length,
          attributes: {
            getPosition: { value: positions(points, subset), size: 2 },
            getFillColor: { value: colours, size: 4, normalized: true },
          },
        },
      }),
      ...movementLayers(points),
      ...problemLayers(points, radius),
      ...namesLayers(layout),
    ],
  });
  drawMapNote(layout);
}

function positions(points, indices) {
  const found = new Float32Array(2 * indices.length);
  indices.forEach((problem, at) => {
    found[2 * at] = points[2 * problem];
    found[2 * at + 1] = points[2 * problem + 1];
  });
  return found;
}

const pointOf = (points, problem) => [points[2 * problem], points[2 * problem + 1]];

// Where each problem of a small subset lies on the other run's map, if both maps have a place for it.
function movementLayers(points) {
  const other = otherRun()?.layouts.find((one) => one.key === currentLayout().key);
  if (!other || subset.length > 2000) return [];
  const { placed } = currentLayout();
  const data = [...subset].filter((i) => placed[i] && other.placed[i]);
  return [
    new libraries.LineLayer({
      id: "movement",
      data,
      getSourcePosition: (i) => pointOf(points, i),
      getTargetPosition: (i) => pointOf(other.points, i),
      getColor: [120, 128, 138, 110],
      getWidth: 1,
    }),
  ];
}

function problemLayers(points, radius) {
  const problem = pool.index.get(state.problem);
  if (problem === undefined || Number.isNaN(points[2 * problem])) return [];
  const { near } = currentRun();
  const around = near ? neighboursOf(near, problem) : [];
  const ink = theme() === "dark" ? [255, 255, 255] : [20, 24, 28];
  const colour = ({ kind }) => (kind === "self" ? ink : kind === "nearest" ? channels(OKABE_ITO[0]) : channels(OKABE_ITO[5]));
  const rings = [{ problem, kind: "self" }, ...around].filter((one) => !Number.isNaN(points[2 * one.problem]));
  return [
    new libraries.LineLayer({
      id: "neighbour-lines",
      data: rings.slice(1),
      getSourcePosition: () => pointOf(points, problem),
      getTargetPosition: (one) => pointOf(points, one.problem),
      getColor: (one) => [...colour(one), 170],
      getWidth: 1.5,
    }),
    new libraries.ScatterplotLayer({
      id: "rings",
      data: rings,
      getPosition: (one) => pointOf(points, one.problem),
      radiusUnits: "pixels",
      getRadius: (one) => radius + (one.kind === "self" ? 6 : 4),
      filled: false,
      stroked: true,
      lineWidthUnits: "pixels",
      getLineWidth: 2.5,
      getLineColor: colour,
      updateTriggers: { getLineColor: theme() },
    }),
  ];
}

function namesLayers(layout) {
  const field = currentRun().fields.get(layout.groups);
  const places = field.names.map((name, code) => ({ name, place: middle(layout, field, code) }));
  const shown = apart(places.filter(({ place }) => place));
  if (!shown.length) return []; // a layer without text warns
  const names = new libraries.TextLayer({
    id: "names",
    data: shown,
    characterSet: "auto",
    getText: ({ name }) => name,
    getPosition: ({ place }) => place,
    getPixelOffset: ({ across, below }) => [across, below],
    getSize: NAME_SIZE,
    fontFamily: "system-ui, sans-serif",
    fontWeight: 600,
    fontSettings: { sdf: true, buffer: 8 },
    outlineWidth: 4,
    outlineColor: theme() === "dark" ? [22, 26, 31, 255] : [255, 255, 255, 255],
    getColor: theme() === "dark" ? [235, 238, 242] : [31, 36, 41],
    updateTriggers: { getColor: theme() },
  });
  return [names];
}

// Push a name into the whole map, in pixels, and down while it would lie on one before it, which is
// of a larger group.
function apart(places) {
  const scale = 2 ** fitted;
  const put = [];
  for (const one of places) {
    const [place, wide] = [one.place[0] * scale, 0.62 * NAME_SIZE * one.name.length];
    const most = Math.max(0, (byId("map").clientWidth - wide) / 2);
    const x = Math.min(most, Math.max(-most, place));
    const box = { ...one, x, y: -one.place[1] * scale, wide, across: x - place, below: 0 };
    const lies = (other) =>
      Math.abs(other.x - box.x) < (other.wide + box.wide) / 2 && Math.abs(other.y + other.below - box.y - box.below) < 1.25 * NAME_SIZE;
    for (let tries = 0; tries < places.length && put.some(lies); tries += 1) box.below += 1.25 * NAME_SIZE;
    put.push(box);
  }
  return put;
}

function middle(layout, field, code) {
  const own = [];
  field.values.forEach((value, i) => {
    if (value === code && layout.placed[i]) own.push(i);
  });
  if (!own.length) return null;
  const median = (axis) => {
    const values = Float64Array.from(own, (i) => layout.points[2 * i + axis]).sort();
    return values[Math.floor(values.length / 2)];
  };
  return [median(0), median(1)];
}

function drawMapNote(layout) {
  const run = currentRun();
  const learnable = run.fields.get("learnability")?.values;
  let [beside, solved] = [0, 0]; // the latter always or never
  layout.placed.forEach((on, i) => {
    if (on || run.rows[i] < 0) return;
    beside += 1;
    if (learnable?.[i] === 0) solved += 1;
  });
  const why = beside === solved && layout.key.startsWith("gradients") ? " (always or never solved)" : "";
  byId("map-note").textContent = beside ? `${plural(beside, "problem")} without ${layout.lack}${why} in the strip below the map.` : "";
}

async function showTip(problem, x, y) {
  const tip = byId("tip");
  if (problem < 0 || problem === undefined || lassoing) {
    tip.hidden = true;
    return;
  }
  const field = fieldOf(state.colour) ?? fieldOf("success_rate");
  const text = element("span", { class: "prompt" });
  tip.replaceChildren(element("strong", {}, pool.ids[problem]), element("span", {}, `${field.label}: ${shown(field, problem)}`), text);
  tip.hidden = false;
  const { clientWidth } = byId("map");
  tip.style.left = `${Math.min(x + 14, Math.max(8, clientWidth - 300))}px`;
  tip.style.top = `${y + 14}px`;
  const prompt = await textOf(currentRun(), "prompts", pool.promptsPerBlock, problem);
  text.textContent = (prompt ?? "").slice(0, 240);
}
