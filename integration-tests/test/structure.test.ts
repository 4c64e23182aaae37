/** The structure of the code: which project may import which, and what no file may contain. Failures name file, line and what to do. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import {
  assertNone,
  files,
  importsOf,
  lineAt,
  packageOf,
  projects,
  read,
  referencesOf,
  sharedTools,
  type Import,
} from "../src/structure.js";

/** Which packages each project's src may import. A new edge is a decision: add it here, too. */
const ALLOWED: Record<string, string[]> = {
  "packages/errors": [],
  "packages/access": ["errors"],
  "packages/format": [],
  "packages/threads": ["errors"],
  "packages/graph": [],
  "packages/safetensors": ["errors"],
  "packages/torch-file": ["errors", "safetensors"],
  "packages/gguf": ["errors", "safetensors"],
  "packages/optim": ["errors"],
  "packages/adapter": ["errors", "safetensors"],
  "packages/models": ["adapter", "errors", "graph", "safetensors"],
  "packages/model-source": ["access", "adapter", "errors", "gguf", "hub", "models", "safetensors", "torch-file"],
  "packages/runtime": ["adapter", "errors", "format", "graph", "model-source", "models", "safetensors"],
  "packages/tokenizers": ["errors"],
  "packages/jinja": [],
  "packages/data": ["errors", "jinja", "recipe"],
  "packages/hub": ["access", "errors", "format", "service-kit"],
  "packages/plots": ["format"],
  "packages/dashboard": ["errors"],
  "packages/tracing": ["errors"],
  "packages/rpc": ["access", "errors", "tracing"],
  "packages/tensorboard": [],
  "packages/events": ["errors", "rpc"],
  "packages/recipe": ["errors", "format", "rpc"],
  "packages/run-folder": ["adapter", "errors", "format", "optim", "recipe", "rpc", "safetensors", "service-kit"],
  "packages/service-kit": ["access", "errors", "rpc", "tracing"],
  "services/tokenizer": ["access", "errors", "hub", "model-source", "rpc", "service-kit", "threads", "tokenizers"],
  "services/data-stream": ["access", "data", "errors", "hub", "recipe", "rpc", "service-kit", "threads", "tracing"],
  "services/checkpoint-store": ["access", "errors", "rpc", "run-folder", "service-kit"],
  "services/trainer": [
    "access",
    "adapter",
    "errors",
    "hub",
    "model-source",
    "models",
    "rpc",
    "runtime",
    "safetensors",
    "service-kit",
    "tracing",
  ],
  "services/coordinator": [
    "access",
    "adapter",
    "dashboard",
    "errors",
    "events",
    "format",
    "hub",
    "model-source",
    "models",
    "optim",
    "plots",
    "recipe",
    "rpc",
    "run-folder",
    "safetensors",
    "service-kit",
    "tensorboard",
    "threads",
    "tracing",
  ],
  "services/cli": [
    "access",
    "adapter",
    "data",
    "errors",
    "events",
    "format",
    "hub",
    "model-source",
    "models",
    "plots",
    "recipe",
    "rpc",
    "run-folder",
    "runtime",
    "safetensors",
    "service-kit",
    "tokenizers",
    "tracing",
  ],
};

/** These measure and test the whole system, so they may import every package; they start services as processes. */
const WHOLE = ["integration-tests", "bench"];

/** Packages without I/O: no files, processes or networks, and only one another. */
const PURE = ["errors", "format", "jinja", "graph", "safetensors", "optim", "adapter", "models", "tensorboard"];

const sources = files.filter((file) => /\.(ts|mjs|js|py)$/.test(file));
const dirOf = new Map(projects.map(({ name, dir }) => [name, dir]));
const isService = (name: string) => dirOf.get(name)?.startsWith("services/") === true;
const at = ({ file, line, module }: Import) => `${file}:${line} imports ${module}`;

/** Line of the first mention of `text`, for messages about package.json and tsconfig.json. */
const lineOf = (file: string, text: string) => `${file}:${lineAt(read(file), Math.max(0, read(file).indexOf(text)))}`;

for (const { dir, name, dependencies, devDependencies, references, src, test: inTest } of projects) {
  describe(dir, () => {
    const manifest = `${dir}/package.json`;
    const foreign = (imports: Import[]) =>
      imports.filter(({ module }) => !/^(node:|\.)/.test(module) && packageOf(module) !== name);
    const used = new Set(foreign(src).map(({ module }) => packageOf(module)));
    const usedInTest = new Set(foreign(inTest).map(({ module }) => packageOf(module)));

    test("imports only what the table allows", () => {
      const allowed = WHOLE.includes(dir)
        ? [...dirOf.keys()].filter((other) => !isService(other))
        : (ALLOWED[dir] ?? []).map((short) => `@gradpool/${short}`);
      const wrong = foreign(src).filter(
        ({ module }) => dirOf.has(packageOf(module)) && !allowed.includes(packageOf(module)),
      );
      assertNone(wrong.map(at), "drop the import, or decide for the edge in this test's table");
    });

    test("never imports a service", () => {
      const wrong = foreign([...src, ...inTest]).filter(({ module }) => isService(packageOf(module)));
      assertNone(wrong.map(at), "talk to it through @gradpool/rpc, or move what is shared into a package");
    });

    test("imports packages only by name, and only its own files", () => {
      const deep = [...src, ...inTest].filter(
        ({ module }) =>
          // A package finds its own folder by its manifest.
          dirOf.has(packageOf(module)) && module !== packageOf(module) && module !== `${name}/package.json`,
      );
      assertNone(deep.map(at), "import what the package's index exports");
      const outside = [...src, ...inTest].filter(
        ({ file, module }) => module.startsWith(".") && !join(dirname(file), module).startsWith(`${dir}/`),
      );
      assertNone(outside.map(at), "import that project by its name");
      const fromTests = src.filter(({ file, module }) => join(dirname(file), module).startsWith(`${dir}/test/`));
      assertNone(fromTests.map(at), "src does not know its tests: move what it needs into src");
    });

    test("package.json lists exactly what is imported", () => {
      // Services are started as processes: the CLI needs them installed, but imports none.
      const started =
        dir === "services/cli" ? [...dirOf.keys()].filter((other) => isService(other) && other !== name) : [];
      const runtimeNeeds = new Set([...used, ...started]);
      const tools = WHOLE.includes(dir) ? sharedTools : [];
      // In projects that consist only of tests, what tests import counts as the project's own.
      if (WHOLE.includes(dir)) for (const other of usedInTest) runtimeNeeds.add(other);
      const missing = [...runtimeNeeds].filter((other) => !dependencies.includes(other) && !tools.includes(other));
      assertNone(
        missing.map((other) => `${manifest}:1 lacks ${other}`),
        'add it to "dependencies", run npm install',
      );
      const unused = dependencies.filter((other) => !runtimeNeeds.has(other));
      assertNone(
        unused.map((other) => `${lineOf(manifest, other)} names ${other}, which src never imports`),
        "remove it or make it a devDependency, run npm install",
      );
      const known = [...dependencies, ...devDependencies, ...sharedTools];
      const missingInTest = [...usedInTest].filter((other) => !known.includes(other));
      assertNone(
        missingInTest.map((other) => `${manifest}:1 lacks ${other}, which tests import`),
        'add it to "devDependencies", run npm install',
      );
      const unusedDev = devDependencies.filter((other) => !usedInTest.has(other) || dependencies.includes(other));
      assertNone(
        unusedDev.map((other) => `${lineOf(manifest, other)} names ${other} for tests in vain`),
        "remove it from devDependencies, run npm install",
      );
    });

    test("tsconfig.json references exactly what is imported", () => {
      const config = `${dir}/tsconfig.json`;
      const needed = new Set([...used, ...usedInTest].flatMap((other) => dirOf.get(other) ?? []));
      const missing = [...needed].filter((other) => !references.includes(other));
      assertNone(
        missing.map((other) => `${config}:1 lacks ${other}`),
        'add it to "references"',
      );
      const unused = references.filter((other, i) => !needed.has(other) || references.indexOf(other) !== i);
      assertNone(
        unused.map(
          (other) =>
            `${lineOf(config, `/${other.split("/").at(-1) ?? ""}"`)} refers to ${other}, which is not imported`,
        ),
        'remove it from "references"',
      );
    });

    test("has tests", () => {
      const has = files.some((file) => file.startsWith(`${dir}/test/`) && file.endsWith(".test.ts"));
      assert.ok(has, `${dir}/test holds no *.test.ts: test what ${name} promises`);
    });
  });
}

test("every project is in the table, and is built", () => {
  const dirs = projects.map(({ dir }) => dir).sort();
  assert.deepEqual(dirs, [...Object.keys(ALLOWED), ...WHOLE].sort(), "keep this test's table up to date");
  assert.deepEqual(referencesOf(".").sort(), dirs, 'keep the "references" of tsconfig.json up to date');
});

test("pure packages use no files, processes or networks", () => {
  const inPure = files.filter((file) => PURE.some((name) => file.startsWith(`packages/${name}/src/`)));
  const imports = inPure.flatMap(importsOf).filter(({ module }) => {
    const dir = dirOf.get(packageOf(module));
    return (
      /^(node:|@grpc\/|@nats|nats)/.test(module) ||
      (dir !== undefined && !PURE.some((name) => dir === `packages/${name}`))
    );
  });
  assertNone(imports.map(at), "take the data as an argument; I/O lives in model-source, runtime and the services");
  const IMPURE =
    /\bprocess\.\w|\bfetch\(|\bDate\.now\(|\bperformance\.now\(|\bMath\.random\(|\bset(Timeout|Interval)\(/;
  assertNone(linesMatching(inPure, IMPURE), "take clock, randomness and transport as arguments");
});

test("servers are started and service clients created in one place each", () => {
  const inServices = files.filter(
    (file) => /^(services|packages)\/[^/]+\/src\//.test(file) && !file.startsWith("packages/rpc/"),
  );
  const places = ["packages/service-kit/src/serve.ts", "services/cli/src/connect.ts"];
  const found = linesMatching(inServices, /\b(startServer|createClient)\(/).filter(
    (line) => !places.some((place) => line.startsWith(`${place}:`)),
  );
  assertNone(found, "use serve() and its connect, or the command line's, so that what surrounds every call is there");
});

test("files are named in kebab-case", () => {
  const wrong = files.filter((file) => /\.(ts|mjs|js)$/.test(file) && !/(^|\/)[a-z0-9]+([-.][a-z0-9]+)*$/.test(file));
  assertNone(
    wrong.map((file) => `${file}:1`),
    "name it in kebab-case, after its content",
  );
});

test("files can be read at one sitting", () => {
  const long = sources.map((file) => [file, read(file).trimEnd().split("\n").length] as const);
  const wrong = long.filter(([, lines]) => lines > 350).map(([file, lines]) => `${file}:${lines} is its last line`);
  assertNone(wrong, "350 lines at most: would two names serve better than one?");
});

/** "file:line: text" of each line that matches. */
function linesMatching(among: string[], pattern: RegExp): string[] {
  return among.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim()}`] : [])),
  );
}

const written = files.filter(
  (file) =>
    /\.(ts|mjs|js|md|json|yaml|proto|py)$|Makefile$|^\.ci\//.test(file) && !/package-lock|onnx-ml\.proto$/.test(file),
);

test("nothing is left for later", () => {
  // Bracketed, so that the pattern does not find itself.
  const LATER = /\b(TOD[O]|FIXM[E]|XX[X]|HAC[K]|[Nn]ot (yet )?implemente[d]|[Ff]or no[w]|[Pp]laceholde[r]s?)\b/;
  assertNone(linesMatching(written, LATER), "do it now, or say in the docs what is not supported");
});

test("no machine is named", () => {
  const found = linesMatching(written, /(^|[^\w.~\])}*])\/(work|root|home|Users)\//);
  assertNone(found, "use a path from the repository's root, or a temporary folder");
});

test("the lockfile names no host", () => {
  const found = linesMatching(["package-lock.json"], /"resolved": "[^"]*:\/\//);
  assertNone(found, "run npm install with this repository's .npmrc");
});
