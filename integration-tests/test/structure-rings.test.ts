/** A file can be read without first knowing those that import it: imports form no rings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { files, importRings, ringsOf } from "../src/structure.js";

/** Files that still import one another in a ring. A file leaves this list with its ring; none is added. */
const IN_RINGS = [
  "packages/data/src/content/content.ts",
  "packages/data/src/content/gzip.ts",
  "packages/data/src/content/zstd.ts",
  "packages/data/src/dataset.ts",
  "packages/data/src/mixture.ts",
  "packages/torch-file/src/old-file.ts",
  "packages/torch-file/src/torch-file.ts",
  "packages/torch-file/src/zip-file.ts",
];

test("files do not import one another in a ring, not even for types", () => {
  const rings = importRings(files.filter((file) => /\.tsx?$/.test(file)));
  const wrong = rings.filter((ring) => ring.some((file) => !IN_RINGS.includes(file)));
  assert.deepEqual(
    wrong.map((ring) => ring.join(" <-> ")),
    [],
    "move what both sides need, often a type, into its own file",
  );
  const inRings = new Set(rings.flat());
  assert.deepEqual(
    IN_RINGS.filter((file) => !inRings.has(file)),
    [],
    "these are no longer in a ring: remove them from IN_RINGS in this test",
  );
});

test("a ring is found wherever it begins, and a shared import is not one", () => {
  const imports = new Map([
    ["a", ["b", "e"]],
    ["b", ["c"]],
    ["c", ["d", "e"]],
    ["d", ["b"]],
    ["e", []],
    ["f", ["f"]],
  ]);
  assert.deepEqual(ringsOf(imports), [["b", "c", "d"], ["f"]]);
});
