// Makes the files that a browser gets: one script, one style sheet, one page.
import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const from = (name) => fileURLToPath(new URL(`../web/${name}`, import.meta.url));
const to = (name) => fileURLToPath(new URL(`../dist/site/${name}`, import.meta.url));

await mkdir(to(""), { recursive: true });
await build({
  entryPoints: { dashboard: from("main.tsx") },
  outdir: to(""),
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  // Of packages/plots only what needs no drawing is used.
  external: ["echarts/*", "@resvg/resvg-js", "node:*"],
  legalComments: "eof",
  logLevel: "warning",
});
await build({ entryPoints: [from("dashboard.css")], outdir: to(""), minify: true, logLevel: "warning" });
for (const name of ["index.html", "icon.svg"]) await copyFile(from(name), to(name));
