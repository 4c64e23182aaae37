/** The shape of the code: who may import whom, and what no file may hold. Failures name file and line. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Whom each project's src may import. A new edge is a decision: make it here, too. */
const ALLOWED: Record<string, string[]> = {
  "packages/errors": [],
  "packages/safetensors": ["errors"],
  "packages/graph": [],
  "packages/optim": ["errors"],
  "packages/adapter": ["errors", "safetensors"],
  "packages/models": ["adapter", "errors", "graph", "safetensors"],
  "packages/model-source": ["errors", "models", "safetensors"],
  "packages/runtime": ["adapter", "errors", "graph", "model-source", "models", "safetensors"],
  "packages/tokenizers": ["errors"],
  "packages/data": ["errors"],
  "packages/plots": [],
  "packages/rpc": ["errors"],
  "packages/recipe": ["errors", "rpc"],
  "packages/service-kit": ["errors"],
  "services/tokenizer": ["errors", "rpc", "service-kit", "tokenizers"],
  "services/data-stream": ["data", "errors", "rpc", "service-kit"],
  "services/checkpoint-store": ["errors", "rpc", "service-kit"],
  "services/trainer": ["adapter", "errors", "model-source", "models", "rpc", "runtime", "safetensors", "service-kit"],
  "services/coordinator": ["adapter", "errors", "model-source", "models", "optim", "plots", "recipe", "rpc", "safetensors", "service-kit"], // prettier-ignore
  "services/cli": ["adapter", "data", "errors", "model-source", "models", "recipe", "rpc", "runtime", "safetensors", "service-kit", "tokenizers"], // prettier-ignore
};

/** Packages without I/O: no node:, no gRPC, no NATS. */
const PURE = ["errors", "safetensors", "graph", "optim", "adapter", "models"].map((name) => `packages/${name}`);

const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(ROOT, file)));
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
const isGenerated = (file: string) => file.includes("/gen/");
const sources = tracked.filter((file) => file.endsWith(".ts") && !isGenerated(file) && !file.includes("/fixtures/"));

interface Import {
  file: string;
  line: number;
  module: string;
}

function importsOf(file: string): Import[] {
  return read(file)
    .split("\n")
    .flatMap((text, i) => {
      const match = /^(?:import|export|\}).*?\bfrom "([^"]+)";|^import "([^"]+)";/.exec(text);
      const module = match?.[1] ?? match?.[2];
      return module === undefined ? [] : [{ file, line: i + 1, module }];
    });
}

const at = ({ file, line, module }: Import) => `${file}:${line} imports ${module}`;

/** Name of an npm package in an import: "@scope/name" or "name". */
const packageOf = (module: string) =>
  module
    .split("/")
    .slice(0, module.startsWith("@") ? 2 : 1)
    .join("/");

for (const [project, allowed] of Object.entries(ALLOWED)) {
  describe(project, () => {
    const inSrc = sources.filter((file) => file.startsWith(`${project}/src/`)).flatMap(importsOf);
    const manifest = JSON.parse(read(`${project}/package.json`)) as {
      name: string;
      dependencies?: Record<string, string>;
    };
    const isOurs = (name: string) => name.startsWith("@gradpool/");

    test("imports only what the table allows", () => {
      const names = allowed.map((name) => `@gradpool/${name}`);
      const wrong = inSrc.filter(({ module }) => isOurs(module) && !names.includes(packageOf(module)));
      assert.deepEqual(wrong.map(at), [], "change the import, or decide for the edge in this test's table");
    });

    test("imports packages by their name alone", () => {
      const deep = inSrc.filter(({ module }) => isOurs(module) && module !== packageOf(module));
      assert.deepEqual(deep.map(at), [], "import what the package's index exports");
    });

    test("package.json and tsconfig.json name what is imported, no more and no less", () => {
      const dependencies = Object.keys(manifest.dependencies ?? {});
      const used = new Set(inSrc.map(({ module }) => packageOf(module)));
      const ours = dependencies.filter((name) => isOurs(name) && !name.endsWith("-service"));
      const imported = [...used].filter(isOurs).sort();
      assert.deepEqual(ours.sort(), imported, `${project}/package.json`);
      const missing = [...used].filter(
        (name) => !name.startsWith("node:") && !name.startsWith(".") && !dependencies.includes(name),
      );
      assert.deepEqual(missing, [], `add them to ${project}/package.json`);
      const { references } = JSON.parse(read(`${project}/tsconfig.json`)) as { references: { path: string }[] };
      const referenced = references.map(({ path }) => `@gradpool/${path.split("/").at(-1) ?? ""}`).sort();
      const inTests = sources.filter((file) => file.startsWith(`${project}/test/`)).flatMap(importsOf);
      const needed = new Set([...inSrc, ...inTests].map(({ module }) => packageOf(module)).filter(isOurs));
      needed.delete(manifest.name);
      assert.deepEqual(referenced, [...needed].sort(), `references of ${project}/tsconfig.json`);
    });

    test("has tests", () => {
      assert.ok(sources.some((file) => file.startsWith(`${project}/test/`) && file.endsWith(".test.ts")));
    });
  });
}

test("every project is in the table", () => {
  const projects = tracked.flatMap((file) => /^((?:packages|services)\/[^/]+)\/package\.json$/.exec(file)?.[1] ?? []);
  assert.deepEqual(projects.sort(), Object.keys(ALLOWED).sort());
});

test("pure packages know neither files nor networks", () => {
  const impure = sources
    .filter((file) => PURE.some((project) => file.startsWith(`${project}/src/`)))
    .flatMap(importsOf)
    .filter(({ module }) => /^(node:|@grpc|@nats)/.test(module));
  assert.deepEqual(impure.map(at), []);
});

test("files are named in kebab-case", () => {
  const wrong = sources.filter(
    (file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?(\.d)?\.ts$/.test(file.split("/").at(-1) ?? ""),
  );
  assert.deepEqual(wrong, []);
});

test("files can be read at one sitting", () => {
  const long = sources.map((file) => [file, read(file).split("\n").length] as const).filter(([, lines]) => lines > 350);
  assert.deepEqual(long, [], "would two names serve better than one?");
});

test("nothing is left for later, and no machine is named", () => {
  const texts = tracked.filter((file) => /\.(ts|mjs|js|md|json|yaml|proto|py)$|Makefile$|\.ci\//.test(file));
  const checked = texts.filter(
    (file) => !isGenerated(file) && !/fixtures|package-lock|structure\.test\.ts$|onnx-ml\.proto$|models\//.test(file),
  );
  const found = checked.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, i) => {
        const isLeft = /\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented|\bfor now\b|\bplaceholder\b/.test(line);
        const isPath = /(^|[^A-Za-z0-9_.~])\/(work|root|home)\//.test(line);
        return isLeft || isPath ? [`${file}:${i + 1}: ${line.trim()}`] : [];
      }),
  );
  assert.deepEqual(found, []);
});

test("what the documents name exists", () => {
  const documents = tracked.filter((file) => /^(README|ARCHITECTURE|STYLE)\.md$|^docs\/.*\.md$/.test(file));
  const missing = documents.flatMap((file) =>
    [
      ...read(file).matchAll(
        /`((?:packages|services|proto|docs|bench|models|scripts|integration-tests|deploy)(?:\/[\w.-]+)+)`|\]\(([\w./-]+)\)/g,
      ),
    ]
      .map(([, path, link]) => (link === undefined ? (path ?? "") : join(dirname(file), link)))
      .filter((path) => !existsSync(join(ROOT, path)))
      .map((path) => `${file}: ${path}`),
  );
  assert.deepEqual(missing, []);
});

test("the lockfile names no host", () => {
  const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, { resolved?: string }> };
  const hosts = Object.values(lock.packages).filter(({ resolved }) => resolved?.includes("://"));
  assert.deepEqual(hosts, []);
});
