/**
 * Ids as transformers' AutoTokenizer gives them for folders that name tokens, flags and classes in every way that there
 * is (fixtures/make_configured.py, with the versions in configured.json).
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { loadTokenizer } from "../src/index.js";
import { FIXTURES, type JsonObject } from "./folders.js";

interface Case {
  name: string;
  /** Besides the vocabulary. */
  files: Record<string, JsonObject>;
  /** tokenizer.json: its model's place in `models`, and the rest. */
  model?: number;
  root?: JsonObject;
  vocab?: number;
  merges?: number;
  /** Places in `ids`, by text. */
  ids: number[];
}

interface Configured {
  texts: string[];
  models: unknown[];
  ids: number[][];
  cases: Case[];
}

const { texts, models, ids, cases } = JSON.parse(
  await readFile(join(FIXTURES, "configured.json"), "utf8"),
) as Configured;

/** What is refused, by the reason. */
const REFUSED: [RegExp, RegExp][] = [
  [/^Split with \w+$/, /can take quadratic time/],
  [/^stage (?!empty).* after bytes|^stage byte level/, /a step after ByteLevel|pre_tokenizer "\w+" is not/],
  [/^(pre-tokenizer|stage) (?!Digits|nested|empty)|^Punctuation,/, /the pre_tokenizer "\w+" is not supported/],
  [/^no pre-tokenizer/, /without a pre_tokenizer/],
  [/^normalizer (?!NFC(,| twice))/, /the normalizer "\w+" is not supported/],
  [/^template, text twice/, /2 texts in its template/],
  [/of two templates/, /a post_processor of 2 that add tokens/],
  [/^(byte_fallback|Llama 2's kind)/, /SentencePiece-style/],
  [/^dropout 0\.5/, /with dropout/],
  [/^end_of_word_suffix/, /with end_of_word_suffix/],
  [/^a (Unigram|Word\w+) model/, /a (Unigram|Word\w+) model is not supported/],
  [/^an id in tokenizer.json/, /has the id 500, but 400 is its place/],
];

async function folderOf({ files, model, root, vocab, merges }: Case): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "configured-"));
  const write = (name: string, content: unknown) =>
    writeFile(join(dir, name), typeof content === "string" ? content : JSON.stringify(content));
  for (const [name, content] of Object.entries(files)) await write(name, content);
  if (model !== undefined) await write("tokenizer.json", { ...root, model: models[model] });
  if (vocab !== undefined) await write("vocab.json", models[vocab]);
  if (merges !== undefined) await write("merges.txt", models[merges]);
  return dir;
}

suite("tokens, flags and classes of the configuration", () => {
  let noted = 0;
  for (const one of cases) {
    test(one.name, async () => {
      const dir = await folderOf(one);
      try {
        const reason = REFUSED.find(([name]) => name.test(one.name))?.[1];
        if (reason) return await assert.rejects(loadTokenizer(dir, ""), reason);
        const tokenizer = await loadTokenizer(dir, "");
        const ours = texts.map((text) => [...tokenizer.encode(text)]);
        const theirs = one.ids.map((place) => ids[place]);
        tokenizer.free();
        if (isDeepStrictEqual(ours, theirs)) return;
        const isNoted = (what: RegExp) => tokenizer.info.notes.some((line) => what.test(line));
        if (isNoted(/^tokenizer_class "\w+" has no effect here/)) return;
        if (!isNoted(/^transformers 5 replaces the .* by what its class/)) assert.deepEqual(ours, theirs);
        noted++;
      } finally {
        await rm(dir, { recursive: true });
      }
    });
  }

  test("the line about transformers 5 comes where its class replaces what the file has", () => {
    assert.ok(noted > 20 && noted < cases.length / 8, `${noted} of ${cases.length}`);
  });
});
