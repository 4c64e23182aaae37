/**
 * Makes gradpool-VERSION.tgz: the command, all services and all that they need from npm, at the versions of package-lock.json
 * and without install scripts (docs/decisions/0031-one-package.md). npm chooses the one package that is built for the machine.
 * Usage: node scripts/package.mjs [FOLDER]     FOLDER: where to put it; the root of the project by default.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const COMMAND = "services/cli";

/** Files of the project that come along. */
const BESIDE = ["README.md", "LICENSE", "docs", "proto", "scripts/cuda-provider.sh"];

/** Large parts of packages that nothing here loads. A test runs what is left. */
const LEFT_OUT = {
  "@dqbd/tiktoken": ["encoders", "tiktoken_bg.wasm"],
  "dejavu-fonts-ttf": [/^ttf\/(?!DejaVuSans\.ttf)./, "unicover.txt", "langcover.txt"],
  // One file is loaded, which holds the rest.
  echarts: [/^(asset|extension|i18n|lib|ssr|theme|types)$/, /^dist\/(?!package\.json|echarts\.common\.min\.js)./],
  // The install script downloads a CUDA provider; the library for macOS is there under two names, and loaded by the other.
  "onnxruntime-node": ["script", "bin/napi-v6/win32", /^bin\/napi-v6\/darwin\/arm64\/libonnxruntime\.\d+\.\d+/],
};

/** What packages need for their install scripts alone, for the parts that are left out, or elsewhere than in Node. */
const NOT_NEEDED = {
  echarts: ["tslib", "zrender"],
  "onnxruntime-node": ["adm-zip", "global-agent"],
  pg: ["pg-cloudflare"],
};

/** Source maps, whose sources stay here, and type declarations. */
const NOT_RUN = /\.(map|[cm]?ts)$/;

const lock = readJson(join(ROOT, "package-lock.json"));
const command = readJson(join(ROOT, COMMAND, "package.json"));

const temporary = mkdtempSync(join(tmpdir(), "gradpool-package-"));
const stage = join(temporary, "package");
try {
  const { bundled, native } = closure();
  for (const file of command.files) copy(join(ROOT, COMMAND, file), join(stage, file));
  for (const file of BESIDE)
    copy(join(ROOT, file), join(stage, file), (path) => !/\/docs\/(pictures|decisions)$/.test(path));
  for (const [target, source] of bundled) copyPackage(source, join(stage, target));
  writeJson(join(stage, "package.json"), {
    ...withoutDevelopment(command),
    exports: { "./package.json": "./package.json" },
    os: ["linux", "darwin"],
    optionalDependencies: Object.fromEntries(native),
    bundleDependencies: Object.keys(command.dependencies),
  });
  const file = join(process.argv[2] ?? ROOT, `${command.name}-${command.version}.tgz`);
  // As npm pack does it, which takes four times as long.
  execFileSync("tar", ["-c", "-z", "-f", file, "-C", temporary, "package"]);
  console.log(`${file}: ${(statSync(file).size / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

/**
 * What the command needs: packages to bundle, from where they go to the folder that has them; and the optional packages of one
 * platform each, which npm chooses from.
 */
function closure() {
  const bundled = new Map();
  const native = new Map();
  const add = (name, from) => {
    const path = resolve(name, from);
    const entry = lock.packages[path];
    if (bundled.has(path)) return;
    bundled.set(path, entry.link ? entry.resolved : path);
    const { optionalDependencies = {}, ...manifest } = manifestOf(bundled.get(path));
    for (const inner of Object.keys(needed(manifest))) add(inner, bundled.get(path));
    const optional = needed({ name, dependencies: optionalDependencies });
    for (const [inner, version] of Object.entries(optional)) native.set(inner, version);
  };
  for (const name of Object.keys(command.dependencies)) add(name, COMMAND);
  return { bundled, native };
}

/** Where the lockfile has what `from` means by this name, as Node looks for it. */
function resolve(name, from) {
  for (let folder = from; folder; folder = dirname(folder)) {
    const path = join(folder === "." ? "" : folder, "node_modules", name);
    if (lock.packages[path]) return path;
    if (folder === ".") break;
  }
  throw new Error(`package-lock.json has no ${name}, which ${from} needs; run npm install`);
}

/** A package without what does not run, and with a manifest from which npm has nothing to install or to run. */
function copyPackage(source, target) {
  const manifest = manifestOf(source);
  const left = LEFT_OUT[manifest.name] ?? [];
  const found = new Set();
  const isWanted = (path) => {
    const inner = relative(join(ROOT, source), path);
    const rule = left.find((one) => (one instanceof RegExp ? one.test(inner) : one === inner));
    if (rule) found.add(rule);
    return !rule && inner !== "node_modules";
  };
  if (source.startsWith("node_modules/")) copy(join(ROOT, source), target, isWanted);
  else for (const file of manifest.files) copy(join(ROOT, source, file), join(target, file));
  const missing = left.filter((rule) => !found.has(rule));
  if (missing.length > 0) throw new Error(`${manifest.name} has no ${missing.join(", ")} any more; see LEFT_OUT`);
  const { optionalDependencies: _, peerDependencies: __, ...rest } = withoutDevelopment(manifest);
  writeJson(join(target, "package.json"), { ...rest, dependencies: needed(rest) });
}

/** The dependencies that a package has when it runs. */
function needed({ name, dependencies = {} }) {
  const isNeeded = (inner) => !inner.startsWith("@types/") && !NOT_NEEDED[name]?.includes(inner);
  return Object.fromEntries(Object.entries(dependencies).filter(([inner]) => isNeeded(inner)));
}

function withoutDevelopment({ devDependencies: _, scripts: __, ...manifest }) {
  return manifest;
}

function copy(from, to, isWanted = () => true) {
  if (!existsSync(from)) throw new Error(`${relative(ROOT, from)} is not there; run make build`);
  cpSync(from, to, { recursive: true, filter: (path) => !NOT_RUN.test(path) && isWanted(path) });
}

function manifestOf(folder) {
  return readJson(join(ROOT, folder, "package.json"));
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}
