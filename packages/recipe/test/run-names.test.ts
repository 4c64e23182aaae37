/** Names and tags of runs, at their bounds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkRunNames } from "@gradpool/recipe";

const ACCEPTED: [runName: string, tags: string[]][] = [
  ["", []],
  ["nightly", ["team-a", "lr=5e-5"]],
  ["x".repeat(128), Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(64, "x"))],
  // Characters, not UTF-16 units.
  ["🚀".repeat(128), ["🚀".repeat(64)]],
  ["a/b: c, d <script>", ["a b", "日本"]],
];

test("run names and tags are accepted up to their bounds", () => {
  for (const [runName, tags] of ACCEPTED) checkRunNames({ runName, tags });
});

const REFUSED: [runName: string, tags: string[], problem: string][] = [
  ["x".repeat(129), [], "run_name has 129 characters, where 128 are allowed"],
  ["a\x1b[31mb", [], 'run_name has a control character: "a\\x1b[31mb"; remove it'],
  ["a\nb", [], 'run_name has a control character: "a\\nb"; remove it'],
  ["a\u202eb", [], 'run_name has a control character: "a\\u202eb"; remove it'],
  [" a", [], 'run_name is " a"; remove the space at its ends'],
  [" ", [], 'run_name is " "; remove the space at its ends'],
  ["", [""], "tags has an empty name; leave it out"],
  ["", ["x".repeat(65)], "tags has 65 characters, where 64 are allowed"],
  ["", ["a,b"], 'tags has "a,b", but a tag cannot have a comma'],
  ["", ["a", "b", "a"], 'tags has "a" twice; name it once'],
  ["", ["a\0"], 'tags has a control character: "a\\x00"; remove it'],
  ["", Array.from({ length: 21 }, (_, i) => String(i)), "tags has 21 tags, where 20 are allowed"],
];

for (const [runName, tags, message] of REFUSED) {
  test(message, () => {
    assert.throws(() => checkRunNames({ runName, tags }), { code: "invalid_argument", message });
  });
}
