/** docs/how-training-works.md: its code compiles as it is printed, runs, and prints what the page shows. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import { piecesOf, printedOf, programOf } from "../src/tour.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** Beneath the built files, where imports find the packages. */
const BUILT = fileURLToPath(new URL("../", import.meta.url));

test("the op shown on the page matches the source", async () => {
  const [, excerpt = ""] =
    /\n\n((?: {4}.*\n)+)\n/.exec(await readFile(join(ROOT, "docs/how-training-works.md"), "utf8")) ?? [];
  const source = await readFile(join(ROOT, "packages/graph/src/ops/elementwise.ts"), "utf8");
  assert.match(excerpt, /mul = binary/);
  assert.ok(source.includes(excerpt.replace(/^ {4}/gm, "")));
});

test("the code of docs/how-training-works.md prints what the page shows", { timeout: 300_000 }, async () => {
  const pieces = piecesOf(await readFile(join(ROOT, "docs/how-training-works.md"), "utf8"));
  assert.ok(pieces.length >= 8);
  const folder = await mkdtemp(join(BUILT, "tour-"));
  try {
    const file = join(folder, "tour.ts");
    await writeFile(file, programOf(pieces));
    const { config } = ts.readConfigFile(join(ROOT, "tsconfig.base.json"), (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
    const single = { composite: false, incremental: false, declaration: false, declarationMap: false };
    const program = ts.createProgram([file], { ...options, ...single });
    const { diagnostics } = program.emit();
    const wrong = ts.formatDiagnostics([...ts.getPreEmitDiagnostics(program), ...diagnostics], {
      getCanonicalFileName: (path) => path,
      getCurrentDirectory: () => folder,
      getNewLine: () => "\n",
    });
    assert.equal(wrong, "");
    const node = promisify(execFile)(process.execPath, [join(folder, "tour.js")], { cwd: ROOT });
    const printed = printedOf((await node).stdout);
    assert.deepEqual(
      printed,
      pieces.map(
        ({ expected, code }, i) => expected ?? (code.includes("console.log") ? `piece ${i + 1} shows none` : ""),
      ),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
