/** A file can be read without first knowing those that import it: imports form no rings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { files, importRings, ringsOf } from "../src/structure.js";

test("files do not import one another in a ring, not even for types", () => {
  const rings = importRings(files.filter((file) => /\.tsx?$/.test(file)));
  assert.deepEqual(
    rings.map((ring) => ring.join(" <-> ")),
    [],
    "move what both sides need, often a type, into its own file",
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
