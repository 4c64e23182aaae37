/**
 * The core against its transcripts. After a wanted change, `node dist/test/transcripts.test.js --rewrite`
 * rewrites them; read the difference before you commit it.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { replay } from "./transcript.js";

const folder = fileURLToPath(new URL("../../test/testdata/", import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith(".txt"));

describe("the core's transcripts", () => {
  assert.ok(files.length > 0, `no transcripts in ${folder}`);
  for (const file of files) {
    it(file, () => {
      const path = `${folder}${file}`;
      const written = readFileSync(path, "utf8");
      const replayed = replay(written);
      if (process.argv.includes("--rewrite")) writeFileSync(path, replayed);
      else assert.equal(replayed, written);
    });
  }
});
