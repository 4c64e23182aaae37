/** What is published is what was measured. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { documentsOf, newestResult } from "../src/table/publish.js";

test("docs/speed.md and its picture are those of the newest result in bench/results", async () => {
  const root = new URL("../../../", import.meta.url);
  for (const [name, text] of Object.entries(await documentsOf(await newestResult()))) {
    const published = await readFile(fileURLToPath(new URL(name, root)), "utf8");
    assert.equal(published, text, `${name} differs: node bench/dist/src/table/publish.js writes it again`);
  }
});
