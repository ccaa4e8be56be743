// Colours that the colour-blind tell apart: viridis for numbers, Okabe and Ito's for names.

const OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];
// Fields whose names keep their order, the last of which is the rest and grey.
const WITH_REST = new Set(["choice", "selected", "audit", "met"]);
const REST = "#9aa3ad";
const MISSING = [140, 147, 156, 255];
const STEPS = 256;

const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

function table(interpolate) {
  return Array.from({ length: STEPS }, (_, i) => {
    const text = interpolate(i / (STEPS - 1));
    return text.startsWith("#") ? channels(text) : text.match(/\d+/g).slice(0, 3).map(Number);
  });
}

const VIRIDIS = table(libraries.interpolateViridis);
// Its darkest part is as dark as the dark page.
const VIRIDIS_ON_DARK = table((at) => libraries.interpolateViridis(0.18 + 0.82 * at));
// Purple to orange through white: a change down, none, up.
const CHANGES_ON_DARK = table((at) => libraries.interpolatePuOr(at));
// Its white would not be seen on the light page.
const CHANGES = CHANGES_ON_DARK.map((one) => one.map((channel) => Math.round(0.84 * channel)));

// The colours of a field: functions from problem to channels and to whether these are grey, and
// what the legend says.
function scaleOf(field) {
  return field.kind === "name" ? nameScale(field) : numberScale(field);
}

function nameScale(field) {
  const counts = new Array(field.names.length).fill(0);
  for (const code of field.values) if (code >= 0) counts[code] += 1;
  const order = field.names.map((_, code) => code);
  const rest = WITH_REST.has(field.key) ? order.pop() : null;
  if (rest === null) order.sort((x, y) => counts[y] - counts[x]);
  const of = new Array(field.names.length).fill(MISSING);
  const named = order.slice(0, OKABE_ITO.length);
  named.forEach((code, place) => {
    of[code] = channels(OKABE_ITO[place]);
  });
  if (rest !== null) {
    of[rest] = channels(REST);
    named.push(rest);
  }
  const entries = named.map((code) => ({
    colour: css(of[code]),
    text: `${field.names[code]} (${counts[code].toLocaleString("en")})`,
  }));
  const others = field.names.length - named.length;
  if (others) entries.push({ colour: css(MISSING), text: `${others} others` });
  const grey = (problem) => field.values[problem] < 0 || field.values[problem] === rest;
  return { colour: (problem) => of[field.values[problem]] ?? MISSING, grey, entries };
}

function numberScale(field) {
  const [low, high] = domainOf(field);
  const [light, dark] = field.change ? [CHANGES, CHANGES_ON_DARK] : [VIRIDIS, VIRIDIS_ON_DARK];
  const colours = theme() === "dark" ? dark : light;
  const factor = high > low ? (STEPS - 1) / (high - low) : 0;
  const colour = (problem) => {
    const value = field.values[problem];
    if (!Number.isFinite(value)) return MISSING;
    return colours[Math.min(STEPS - 1, Math.max(0, Math.round((value - low) * factor)))];
  };
  const grey = (problem) => !Number.isFinite(field.values[problem]);
  return { colour, grey, low, high, gradient: colours };
}

// From the first to the last percentile, so that a few extremes do not make the rest one colour.
function domainOf(field) {
  if (SHARES.has(field.key)) return rangeOf(field.key);
  const known = Float64Array.from(field.values.filter(Number.isFinite)).sort();
  if (!known.length) return [0, 1];
  const at = (share) => known[Math.round(share * (known.length - 1))];
  const [low, high] = [at(0.01), at(0.99)];
  if (!field.change) return [low, high];
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  return [-most, most];
}

function drawLegend(field, scale) {
  const legend = byId("legend");
  const title = element("h3", {}, field.label);
  if (scale.entries) {
    const rows = scale.entries.map(({ colour, text }) => {
      const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = colour;
      return element("li", {}, swatch, text);
    });
    legend.replaceChildren(title, element("ul", {}, ...rows));
    return;
  }
  const bar = element("div", { class: "bar", role: "img", "aria-label": `from ${asText(scale.low)} to ${asText(scale.high)}` });
  const stops = scale.gradient.filter((_, i) => i % 17 === 0).map(css);
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const ends = element("div", { class: "ends" }, element("span", {}, asText(scale.low)), element("span", {}, asText(scale.high)));
  legend.replaceChildren(title, element("div", { class: "scale" }, bar, ends));
}
