/**
 * 10 MB of source code and mixed text with each fixture, against Hugging Face's own library: minutes, so no test of every
 * day. `make same-ids` runs it. Prints one line for each, and fails at the first id that differs.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { loadTokenizer } from "../src/index.js";
import { FIXTURES, TINY_CODER } from "./folders.js";
import { mixedTexts, sourceTexts } from "./mixed-text.js";
import { assertSame, theirs } from "./same-ids.js";

const texts = [...(await sourceTexts(7e6)), ...mixedTexts(3e6, 1)];
const fixtures = (await readdir(FIXTURES, { withFileTypes: true })).filter((entry) => entry.isDirectory());
const named = process.argv.slice(2);
for (const folder of [TINY_CODER, ...fixtures.map(({ name }) => join(FIXTURES, name))]) {
  if (named.length > 0 && !named.some((name) => folder.endsWith(name))) continue;
  const tokenizer = await loadTokenizer(folder, "");
  const begin = performance.now();
  const bytes = await assertSame(tokenizer, theirs(tokenizer), texts);
  const seconds = (performance.now() - begin) / 1000;
  process.stdout.write(`${folder}: ${(bytes / 1e6).toFixed(1)} MB, the same ids, ${seconds.toFixed(0)} s for both\n`);
  tokenizer.free();
}
