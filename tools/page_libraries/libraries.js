// What the page uses of each library; our own scripts find it as `libraries`.
export { Deck, OrthographicView } from "@deck.gl/core";
export { LineLayer, ScatterplotLayer, TextLayer } from "@deck.gl/layers";
export { barX, dot, lineY, plot, rectY, ruleX, ruleY } from "@observablehq/plot";
export { interpolatePuOr, interpolateViridis } from "d3-scale-chromatic";
export { polygonContains } from "d3-polygon";
export { default as katex } from "katex";
export { default as renderMath } from "katex/contrib/auto-render";
export { SlickGrid } from "slickgrid";
