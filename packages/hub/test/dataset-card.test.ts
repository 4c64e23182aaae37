import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { chooseConfig, configsOf } from "../src/dataset-card.js";

const REPO = { type: "dataset", id: "org/name", revision: "main" } as const;
const configs = (yaml: string) => configsOf(REPO, "README.md", `---\n${yaml}\n---\n# Title\nconfigs: none\n`);
const code = (expected: string) => (error: unknown) => error instanceof GradpoolError && error.code === expected;

test("a card's configs, in each of the ways to write them", () => {
  const found = configs(`
license: mit
configs:
- config_name: one
  data_files: a.csv
- config_name: two
  default: true
  data_dir: ./sub/
  data_files:
  - split: train
    path: [x/*.json, y/*.json]
  - split: test
    path: z.json
- config_name: three
  data_files: [p/*, q/*]
- config_name: four
  data_dir: d
`);
  const plain = found.map(({ name, isDefault, folder, patterns }) => ({
    ...{ name, isDefault, folder },
    patterns: patterns && Object.fromEntries(patterns),
  }));
  assert.deepEqual(plain, [
    { name: "one", isDefault: false, folder: "", patterns: { train: ["a.csv"] } },
    { name: "two", isDefault: true, folder: "sub", patterns: { train: ["x/*.json", "y/*.json"], test: ["z.json"] } },
    { name: "three", isDefault: false, folder: "", patterns: { train: ["p/*", "q/*"] } },
    { name: "four", isDefault: false, folder: "d", patterns: undefined },
  ]);
  assert.equal(chooseConfig(REPO, found, undefined)?.name, "two");
  assert.equal(chooseConfig(REPO, found, "four")?.name, "four");
  assert.throws(() => chooseConfig(REPO, found, "five"), code("not_found"));
  assert.throws(() => chooseConfig(REPO, found.slice(2), undefined), code("invalid_argument"));
  assert.equal(chooseConfig(REPO, found.slice(0, 1), undefined)?.name, "one");
});

test("cards that say nothing of configs", () => {
  assert.deepEqual(configs("license: mit"), []);
  assert.deepEqual(configs(""), []);
  assert.deepEqual(configsOf(REPO, "README.md", "# Title\n---\nconfigs: 3\n---\n"), []);
  assert.deepEqual(configsOf(REPO, "README.md", "---\nnever closed"), []);
  assert.equal(chooseConfig(REPO, [], undefined), undefined);
  assert.equal(chooseConfig(REPO, [], "default"), undefined);
});

test("blanks after the closing dashes end the head, too", () => {
  const card = "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n---  \n# Title\n";
  assert.deepEqual(
    configsOf(REPO, "README.md", card).map(({ name }) => name),
    ["a"],
  );
});

test("parameters of a card that would give other rows are refused by name", () => {
  const choose = (parameters: string) =>
    chooseConfig(REPO, configs(`configs:\n- config_name: a\n  data_files: a.csv\n${parameters}`), undefined);
  for (const parameters of ["encoding: latin-1", "skiprows: 1", "header: null", "names: [a, b]", 'sep: ";"']) {
    assert.throws(() => choose(`  ${parameters}`), code("invalid_argument"), parameters);
  }
  for (const parameters of ["field: data", "sample_by: paragraph", "keep_linebreaks: true", "quoting: 3"]) {
    assert.throws(() => choose(`  ${parameters}`), /asks for .*in its config a, which is not supported/, parameters);
  }
  assert.equal(choose('  sep: ","\n  encoding: utf-8\n  drop_labels: true\n  description: text')?.name, "a");
});

test("hostile cards are refused, and soon", () => {
  const layers = Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}, *a${i}]`);
  for (const yaml of [
    "configs: 3",
    "configs: [{config_name: x, data_files: {a: b}}]",
    "configs: [{config_name: x, data_files: [{split: ../y, path: a}]}]",
    "configs: [{config_name: x, data_files: [{split: a, path: a}, {split: a, path: b}]}]",
    "a: [b",
    `a: ${"[".repeat(100_000)}`,
    ["a0: &a0 [x, x, x]", ...layers].join("\n"),
  ]) {
    assert.throws(() => configs(yaml), code("invalid_argument"), yaml.slice(0, 60));
  }
});
