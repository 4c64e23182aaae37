/** Malicious tokenizer.json files: a typed error or a tokenizer that works, in bounded time. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import fc from "fast-check";
import { loadTokenizer } from "../src/index.js";
import { FIXTURES, PLAIN, withCopy } from "./folders.js";

const TEXT = "It's 12345 naïve 🙂 <|endoftext|>  x\n\n" + "a".repeat(2000);
const FILE = "tokenizer.json";
const DEPTH = 200_000;

/** Loads and uses it. Gives the error's message; "" when there is none. */
async function problem(dir: string): Promise<string> {
  try {
    const tokenizer = await loadTokenizer(dir, "");
    tokenizer.decode(tokenizer.encode(TEXT));
    tokenizer.free();
    return "";
  } catch (error) {
    assert.ok(error instanceof GradpoolError && error.code !== "internal", String((error as Error).stack));
    assert.ok(!error.message.includes("\n") && error.message.length < 1000, error.message.slice(0, 2000));
    return error.message;
  }
}

const nested = (open: string, close: string, inside = "") => open.repeat(DEPTH) + inside + close.repeat(DEPTH);

/** What replaces a part of the file, by the part's name. */
const DEEP: [part: string, text: string][] = [
  ["model", nested("[", "]")],
  ["normalizer", nested('{"type":"Sequence","normalizers":[', "]}")],
  ["pre_tokenizer", nested('{"type":"Sequence","pretokenizers":[', "]}")],
  ["post_processor", nested('{"type":"Sequence","processors":[', "]}")],
  ["added_tokens", nested("[", "]")],
  ["merges", `[${nested("[", "]")}]`],
  ["vocab", `{"a":${nested("[", "]")}}`],
  [
    "pre_tokenizer",
    `{"type":"Split","behavior":"Isolated","invert":false,"pattern":{"Regex":"${nested("(", ")", "a")}"}}`,
  ],
];

suite("hostile tokenizer.json files", () => {
  for (const [index, [part, deep]] of DEEP.entries()) {
    test(`nesting of ${DEPTH} does not recurse: ${part} (${index})`, () =>
      withCopy(PLAIN, [], async (dir) => {
        const root = JSON.parse(await readFile(join(dir, FILE), "utf8")) as Record<string, object>;
        const marked = JSON.stringify({ ...root, model: { ...root["model"] } }, (key, value: unknown) =>
          key === part ? "HERE" : value,
        );
        assert.ok(marked.includes('"HERE"'));
        await writeFile(join(dir, FILE), marked.replace('"HERE"', deep));
        assert.notEqual(await problem(dir), "");
      }));
  }

  const VALUES = [
    null,
    true,
    -1,
    0.5,
    2 ** 40,
    "",
    "a",
    "__proto__",
    "\ud800",
    [],
    [[]],
    {},
    { type: "Sequence" },
    "(?",
  ];

  test("any parts replaced, removed or doubled give a typed error or a tokenizer", { timeout: 240_000 }, async () => {
    for (const name of ["llama3", "digits", "added"]) {
      const source = await readFile(join(FIXTURES, name, FILE), "utf8");
      const change = fc.record({
        path: fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }),
        how: fc.constantFrom("remove", "double", "replace"),
        value: fc.constantFrom(...VALUES),
      });
      await withCopy(join(FIXTURES, name), [], (dir) =>
        fc.assert(
          fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
            const root = JSON.parse(source) as Record<string, unknown>;
            for (const { path, how, value } of changes) mutate(root, path, how, structuredClone(value));
            await writeFile(join(dir, FILE), JSON.stringify(root));
            await problem(dir);
          }),
          { numRuns: 120 },
        ),
      );
    }
  });

  test("any bytes changed give a typed error or a tokenizer", { timeout: 240_000 }, async () => {
    const source = await readFile(join(FIXTURES, "qwen2", FILE));
    const changes = fc.array(fc.tuple(fc.nat(source.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await withCopy(join(FIXTURES, "qwen2"), [], (dir) =>
      fc.assert(
        fc.asyncProperty(changes, fc.option(fc.nat(source.length), { freq: 8 }), async (bytes, cut) => {
          const changed = Buffer.from(source);
          for (const [at, byte] of bytes) changed[at] = byte;
          await writeFile(join(dir, FILE), changed.subarray(0, cut ?? source.length));
          await problem(dir);
        }),
        { numRuns: 200 },
      ),
    );
  });
});

/** Follows the path into the tree as far as it goes, and changes what is there. */
function mutate(root: Record<string, unknown>, path: readonly number[], how: string, value: unknown): void {
  let node: Record<string, unknown> = root;
  for (const [depth, step] of path.entries()) {
    const keys = Object.keys(node);
    const key = keys[step % keys.length];
    if (key === undefined) return;
    const child = node[key];
    if (depth < path.length - 1 && typeof child === "object" && child !== null && Object.keys(child).length > 0) {
      node = child as Record<string, unknown>;
      continue;
    }
    if (how === "remove") delete node[key];
    else node[how === "double" ? `${key}2` : key] = how === "double" ? child : value;
    return;
  }
}
