/** Reads the repository for the structure tests: its files, its projects, and who imports whom. Without git: an unpacked archive has none. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Folders with hand-written files; everything else at the top level is built, downloaded or output. */
export const FOLDERS = [
  "packages",
  "services",
  "integration-tests",
  "bench",
  "proto",
  "docs",
  "scripts",
  "deploy",
  "examples",
  ".ci",
];
const NOT_OURS = new Set(["node_modules", "dist", "fixtures"]);

const texts = new Map<string, string>();

/** Content of a file, by its path from the root. */
export function read(file: string): string {
  const text = texts.get(file) ?? readFileSync(join(ROOT, file), "utf8");
  texts.set(file, text);
  return text;
}

export const exists = (path: string): boolean => existsSync(join(ROOT, path));

function filesUnder(folder: string): string[] {
  if (!exists(folder)) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return folder === "." || NOT_OURS.has(entry.name) ? [] : filesUnder(path);
    return entry.isFile() ? [path] : [];
  });
}

const filesAndGenerated = [".", ...FOLDERS].flatMap(filesUnder).sort();

/** Every hand-written file, by its path from the root, sorted: nothing generated, no fixtures. */
export const files = filesAndGenerated.filter((file) => !file.includes("/gen/"));

export interface Import {
  file: string;
  line: number;
  module: string;
}

export const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length;

/** Modules that a TypeScript file imports, exports from, or resolves with its own `createRequire`. */
export function importsOf(file: string): Import[] {
  const text = read(file);
  const imported = ts
    .preProcessFile(text, true, false)
    .importedFiles.map(({ fileName, pos }) => [fileName, pos] as const);
  const required = [
    ...text.matchAll(/\b(?:require|createRequire\(import\.meta\.url\))(?:\.resolve)?\("([^"]+)"\)/g),
  ].map((match) => [match[1] ?? "", match.index] as const);
  return [...imported, ...required].map(([module, index]) => ({ file, line: lineAt(text, index), module }));
}

/** Name of the npm package that a module belongs to: "@scope/name" or "name". */
export const packageOf = (module: string): string =>
  module
    .split("/")
    .slice(0, module.startsWith("@") ? 2 : 1)
    .join("/");

export interface Project {
  /** Path from the root. */
  dir: string;
  name: string;
  dependencies: string[];
  devDependencies: string[];
  /** Projects that tsconfig.json builds first, as paths from the root. */
  references: string[];
  src: Import[];
  test: Import[];
}

interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const manifestAt = (file: string) => JSON.parse(read(file)) as Manifest;

/** Paths of a tsconfig.json's references, from the root. */
export function referencesOf(dir: string): string[] {
  const { references } = JSON.parse(read(join(dir, "tsconfig.json"))) as { references: { path: string }[] };
  return references.map(({ path }) => join(dir, path));
}

/** Tools that every project's tests may use without declaring them. */
export const sharedTools = Object.keys(manifestAt("package.json").devDependencies ?? {});

/** Every npm workspace of the repository. */
export const projects: Project[] = files
  // An example is a user's code, not part of the workspace.
  .filter((file) => file.endsWith("/package.json") && !file.startsWith("examples/"))
  .map((file) => {
    const dir = file.slice(0, -"/package.json".length);
    const { name, dependencies = {}, devDependencies = {} } = manifestAt(file);
    const importsIn = (part: string) =>
      filesAndGenerated.filter((path) => path.startsWith(`${dir}/${part}/`) && /\.tsx?$/.test(path)).flatMap(importsOf);
    return {
      dir,
      name,
      dependencies: Object.keys(dependencies),
      devDependencies: Object.keys(devDependencies),
      references: referencesOf(dir),
      src: importsIn("src"),
      // Browser pages are bundled when they are built: like tests, they need nothing where the package is installed.
      test: [...importsIn("test"), ...importsIn("web")],
    };
  });

/** Files of a group whose members all lead to one another through imports, including type imports. */
export function importRings(among: readonly string[]): string[][] {
  const known = new Set(among);
  const next = new Map(
    among.map((file) => {
      const targets = importsOf(file)
        .filter(({ module }) => module.startsWith("."))
        .flatMap(({ module }) => {
          const path = join(dirname(file), module).replace(/\.js$/, "");
          return [path, `${path}.ts`, `${path}.tsx`].find((candidate) => known.has(candidate)) ?? [];
        });
      return [file, [...new Set(targets)]] as const;
    }),
  );
  return ringsOf(next);
}

/** The strongly connected components of more than one node (Tarjan 1972). */
export function ringsOf(next: ReadonlyMap<string, readonly string[]>): string[][] {
  const rings: string[][] = [];
  const order = new Map<string, number>();
  const open: string[] = [];
  const visit = (node: string): number => {
    const number = order.size;
    order.set(node, number);
    open.push(node);
    let low = number;
    for (const target of next.get(node) ?? []) {
      if (!order.has(target)) low = Math.min(low, visit(target));
      else if (open.includes(target)) low = Math.min(low, order.get(target) ?? low);
    }
    if (low === number) {
      const ring = open.splice(open.indexOf(node));
      if (ring.length > 1 || next.get(node)?.includes(node)) rings.push(ring.sort());
    }
    return low;
  };
  for (const node of next.keys()) if (!order.has(node)) visit(node);
  return rings;
}

/** Fails with what is wrong, one place a line, and what to do. */
export function assertNone(wrong: string[], advice: string): void {
  if (wrong.length > 0) assert.fail(`${wrong.join("\n")}\n=> ${advice}`);
}
