/**
 * Joins the modules of each program into few files, services/NAME/dist/bin/: it starts in less than half of the processor
 * time (docs/decisions/0044-bundled-programs.md). A program's threads and commands share what they have in common. Does
 * nothing where the bundles are newer than the compiled modules.
 */
import { existsSync, readFileSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** A program of its own, or the code of a thread. */
const IS_ENTRY = /^(main|verify-store|migrate-store|(.*-)?(worker|thread))\.ts$/;

/** Machine code and WebAssembly are found beside the modules that load them. */
const EXTERNAL = ["onnxruntime-node", "@resvg/resvg-js", "node-sqlite3-wasm", "@dqbd/tiktoken"];

/** CommonJS inside of the bundles calls it. */
const BANNER =
  'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);';

/** Where gRPC's packages look for their .proto files, which stay where they are. */
const filesBesideCode = {
  name: "files beside code",
  setup(plugin) {
    plugin.onLoad({ filter: /node_modules\/(@grpc\/[^/]+|grpc-health-check)\/.*\.js$/ }, async ({ path }) => {
      const code = await readFile(path, "utf8");
      const [, name, inner] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(path);
      const folder = `require("node:path").join(require.resolve("${name}/package.json"), "../${dirname(inner)}")`;
      return { contents: code.replaceAll("__dirname", folder) };
    });
  },
};

const compiledMs = Math.max(
  ...foldersOf("packages", "dist/src").concat(foldersOf("services", "dist/src")).map(newestMs),
);
await Promise.all(foldersOf("services", "").map(bundle));

async function bundle(service) {
  const outdir = join(service, "dist/bin");
  if (existsSync(outdir) && statSync(outdir).mtimeMs >= compiledMs) return;
  const sources = readdirSync(join(service, "src"), { recursive: true });
  const entries = sources.filter((file) => IS_ENTRY.test(basename(file))).map((file) => file.replace(/\.ts$/, ""));
  const { metafile } = await build({
    entryPoints: Object.fromEntries(entries.map((file) => [basename(file), join(service, "dist/src", `${file}.js`)])),
    outdir,
    bundle: true,
    splitting: true,
    platform: "node",
    target: "node20",
    format: "esm",
    external: EXTERNAL,
    plugins: [filesBesideCode],
    banner: { js: BANNER },
    metafile: true,
    absWorkingDir: ROOT,
    logLevel: "warning",
  });
  checkDynamicImports(metafile);
  const written = new Set(Object.keys(metafile.outputs).map((file) => resolve(ROOT, file)));
  for (const file of readdirSync(outdir)) if (!written.has(join(outdir, file))) rmSync(join(outdir, file));
  utimesSync(outdir, new Date(), new Date());
}

/** Of a CommonJS package that is imported dynamically, bundled code gets the default alone: Node would give all names. */
function checkDynamicImports({ inputs }) {
  for (const [file, { imports }] of Object.entries(inputs)) {
    if (file.startsWith("node_modules/")) continue;
    for (const { path, kind, original } of imports) {
      if (kind !== "dynamic-import" || inputs[path]?.format !== "cjs") continue;
      if (!readFileSync(join(ROOT, file), "utf8").includes(`import("${original}")).default`))
        throw new Error(`${file} imports ${original}, which is CommonJS: write (await import("${original}")).default`);
    }
  }
}

function foldersOf(group, inner) {
  const folders = readdirSync(join(ROOT, group)).map((name) => join(ROOT, group, name, inner));
  return folders.filter((folder) => existsSync(folder));
}

function newestMs(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith(".js"));
  return Math.max(...files.map((file) => statSync(join(folder, file)).mtimeMs));
}
