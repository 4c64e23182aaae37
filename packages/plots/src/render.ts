/** From an ECharts option to a picture. */
import { createRequire } from "node:module";
import { Resvg } from "@resvg/resvg-js";
import type * as ECharts from "echarts/core";
import { FONT_FAMILY, PLOT_WIDTH } from "./style.js";

const require = createRequire(import.meta.url);
const FONT_FILE = require.resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf");

/** Its hundreds of modules in one file, which loads in a tenth of the time. */
const { init } = require("echarts/dist/echarts.common.min.js") as typeof ECharts;

/** The same option gives the same text. */
export function renderSvg(option: ECharts.EChartsCoreOption, height: number): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: PLOT_WIDTH, height });
  try {
    chart.setOption(option);
    return withOwnNumbering(chart.renderToSVGString());
  } finally {
    chart.dispose();
  }
}

/** ECharts numbers charts and style classes through the life of the process; here they start over. */
function withOwnNumbering(svg: string): string {
  const classes = new Map<string, string>();
  return svg.replaceAll(/\bzr\d+-([a-z]+-?)\d+/g, (id, kind: string) => {
    const known = classes.get(id) ?? `zr-${kind}${classes.size}`;
    classes.set(id, known);
    return known;
  });
}

/** The PNG of an SVG text; without `fontFile` its text vanishes. The system's fonts are not used. */
export function rasterize(svg: string, fontFile: string | undefined = FONT_FILE): Uint8Array {
  const font = { loadSystemFonts: false, fontFiles: fontFile ? [fontFile] : [], defaultFontFamily: FONT_FAMILY };
  return new Resvg(svg, { font, background: "white" }).render().asPng();
}
