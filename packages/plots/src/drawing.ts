export { plotSvg } from "./plot.js";
export { rasterize } from "./render.js";
