/** Regular expressions for module names, against JavaScript's own engine where that is safe. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import {
  isModulePattern,
  loraScaling,
  modulePattern,
  ownScalings,
  adaptedModules,
  type AdaptedModule,
} from "../src/index.js";

const raw = String.raw;

/** Pattern, names that match as a whole, names that do not. */
const CASES: [string, string[], string[]][] = [
  [raw`.*\.(q|v)_proj`, ["model.layers.0.q_proj", ".v_proj"], ["q_proj", "model.k_proj", "a.q_proj_"]],
  [raw`h\.\d+\.mlp`, ["h.0.mlp", "h.123.mlp"], ["h.x.mlp", "h..mlp", "hx0.mlp"]],
  [raw`h\.[0-35]\.a`, ["h.0.a", "h.3.a", "h.5.a"], ["h.4.a", "h.-.a"]],
  [raw`[^.]+\.x`, ["abc.x"], ["a.b.x", ".x"]],
  [raw`[]a]b`, ["]b", "ab"], ["b", "[b"]],
  [raw`[a-]+`, ["a-", "--"], ["b", ""]],
  ["a{2}", ["aa"], ["a", "aaa"]],
  ["a{2,}", ["aa", "aaaaa"], ["a"]],
  ["a{,2}", ["", "aa"], ["aaa"]],
  ["(ab){1,2}?c", ["abc", "ababc"], ["c", "abababc"]],
  ["a{x}", ["a{x}"], ["a"]],
  ["x{}", ["x{}"], ["x"]],
  [raw`(?P<layer>a)(?:b|)c?`, ["a", "ab", "abc", "ac"], ["b", "abcc"]],
  [raw`^\Aa$\Z`, ["a"], ["", "aa"]],
  ["(|a)*b", ["b", "aaab"], ["a"]],
  ["", [""], ["a"]],
  ["a|", ["a", ""], ["b"]],
];
for (const [pattern, matching, others] of CASES) {
  test(`${JSON.stringify(pattern)} matches whole names`, () => {
    const matches = modulePattern(pattern, "target_modules");
    for (const name of matching) assert.equal(matches(name), true, name);
    for (const name of others) assert.equal(matches(name), false, name);
  });
}

const failure = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof GradpoolError && error.code === code && message.test(error.message);

test("an invalid regular expression is refused, naming field and fault", () => {
  for (const [pattern, fault] of Object.entries({
    "(a": /lacks a \)/,
    "a)": /an unmatched \)/,
    "[a": /lacks a \]/,
    "*a": /\* has nothing to repeat/,
    "a**": /repeats a repetition/,
    "a{3,2}": /counts backwards/,
    "[z-a]": /range z-a is empty/,
    "a\\": /ends in a backslash/,
  })) {
    const expected = failure("invalid_argument", new RegExp(`^rank_pattern: .*${fault.source}`));
    assert.throws(() => modulePattern(pattern, "rank_pattern"), expected, pattern);
  }
  assert.throws(() => modulePattern("a".repeat(501), "f"), failure("invalid_argument", /501 characters is too large/));
});

test("what is not supported is refused by name", () => {
  for (const [pattern, what] of [
    ["(?=a)b", raw`\(\?=`],
    ["(?!a)b", raw`\(\?!`],
    ["(?<=a)b", raw`\(\?<`],
    ["(?i)a", raw`\(\?i`],
    [raw`(a)\1`, raw`\\1`],
    [raw`\bq`, raw`\\b`],
    ["a++", raw`\+\+`],
  ] as const) {
    assert.throws(() => modulePattern(pattern, "f"), failure("unimplemented", new RegExp(what)), pattern);
  }
});

test("random patterns match what JavaScript's engine matches", () => {
  let state = 12345;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;
  const pattern = (depth: number): string => {
    const kind = depth > 3 ? 0 : random(6);
    if (kind <= 1) return pick(["a", "b", ".", "[ab]", "[^a]", "\\w", "^", "$"]);
    if (kind === 2) return `(${pattern(depth + 1)}|${pattern(depth + 1)})`;
    if (kind === 3) return `(${pattern(depth + 1)})${pick(["*", "+", "?", "{2}", "{1,2}", "{2,}"])}`;
    return pattern(depth + 1) + pattern(depth + 1);
  };
  const names = ["", "a", "b", "ab", "ba", "aab", "abab", "bbb", "abc", "a.b"];
  let matched = 0;
  for (let i = 0; i < 3000; i++) {
    const source = pattern(0);
    const [ours, theirs] = [modulePattern(source, "f"), new RegExp(`^(?:${source})$`)];
    for (const name of names) {
      assert.equal(ours(name), theirs.test(name), `${source} on ${name}`);
      if (theirs.test(name)) matched++;
    }
  }
  assert.ok(matched > 3000);
});

test("patterns made to take exponential time do not", () => {
  const name = `${"a".repeat(60)}!`;
  const nested = "(".repeat(60) + "a" + "*)".repeat(60).replaceAll("*)", ")*");
  for (const pattern of ["(a+)+", "(a|aa)+", "(a*)*b", "((a{1,6}){1,6}){1,6}", nested]) {
    const matches = modulePattern(pattern, "f");
    assert.equal(matches(name), false);
    assert.equal(matches("a".repeat(60)), pattern !== "(a*)*b");
  }
  for (const pattern of ["a{999999999}", "((a{1,99}){1,99}){1,99}", "(a{,999999999})*"]) {
    assert.throws(() => modulePattern(pattern, "f"), failure("invalid_argument", /too large/), pattern);
  }
});

test("an expression as long as allowed is matched with many names at once", () => {
  const matches = modulePattern(".*".repeat(249) + "!", "f");
  for (let i = 0; i < 100; i++) assert.equal(matches("model.layers.10.self_attn.q_proj".repeat(2)), false);
});

const PLAIN = { useRslora: false, useDora: false };

test("patterns may name every module, but hold only so much of expressions", () => {
  const module: AdaptedModule = { name: "model.layers.77.q_proj", inFeatures: 4, outFeatures: 4 };
  const names = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`layers.${i}.q_proj`, i + 1]));
  assert.equal(adaptedModules([module], { ...PLAIN, rankPattern: names })[0]?.r, 78);
  assert.equal(
    adaptedModules([module], { ...PLAIN, rankPattern: { "layers.8.q_proj": 2, "layers.7..q_proj": 3 } })[0]?.r,
    3,
  );
  assert.deepEqual(adaptedModules([module], { ...PLAIN, rankPattern: { "7.q_proj": 2 } })[0], module);
  const expressions = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`layers.${i}.*proj`, 2]));
  assert.throws(
    () => adaptedModules([module], { ...PLAIN, rankPattern: expressions }),
    failure("invalid_argument", /rank_pattern/),
  );
});

test("a list, and names without special characters, are not patterns", () => {
  assert.equal(isModulePattern(["mlp.c_proj"]), false);
  assert.equal(isModulePattern(["a.*", "b"]), false);
  assert.equal(isModulePattern([".*c_proj"]), true);
});

test("scaling is alpha / r, or alpha / sqrt(r) for rsLoRA", () => {
  assert.equal(loraScaling({ r: 16, alpha: 32, useRslora: false }), 2);
  assert.equal(loraScaling({ r: 16, alpha: 32, useRslora: true }), 8);
});

test("the first pattern that matches a name or its last parts decides rank and alpha", () => {
  const names = ["h.0.c_attn", "h.1.c_attn", "h.0.c_proj"];
  const modules = names.map((name): AdaptedModule => ({ name, inFeatures: 4, outFeatures: 4 }));
  const rankPattern = { "1.c_attn": 3, c_attn: 2, proj: 9 };
  const lora = { r: 8, alpha: 16, ...PLAIN, rankPattern, alphaPattern: { "h.0.*": 6 } };
  const ranked = adaptedModules(modules, lora);
  assert.deepEqual(ranked.map(({ r }) => r), [2, 3, undefined]); // prettier-ignore
  assert.deepEqual([...ownScalings(ranked, lora)], [["h.0.c_attn", 3], ["h.1.c_attn", 16 / 3], ["h.0.c_proj", 0.75]]); // prettier-ignore
  const plain = { ...lora, rankPattern: {}, alphaPattern: {} };
  assert.deepEqual(adaptedModules(modules, plain), modules);
  const dora = adaptedModules(modules, { ...lora, useDora: true });
  assert.deepEqual(dora, ranked.map((module) => ({ ...module, useDora: true }))); // prettier-ignore
  assert.equal(ownScalings(modules, plain).size, 0);
});
