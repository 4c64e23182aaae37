/** Ids and texts are those of Hugging Face's own library (npm `tokenizers`), on all of it. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { suite, test } from "node:test";
import { lastCut, loadTokenizer } from "../src/index.js";
import { FIXTURES, ROOT, TINY_CODER, withCopy } from "./folders.js";
import { everyCodePoint, generator, mixedTexts, sourceTexts } from "./mixed-text.js";
import { assertSame, theirs } from "./same-ids.js";

const GOLDEN = join(ROOT, "integration-tests/fixtures/golden");

async function foldersIn(parent: string, within: string): Promise<string[]> {
  const entries = await readdir(parent, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(parent, name, within));
}

suite("same ids as Hugging Face's tokenizers", () => {
  test("10 MB of source code and mixed text with tiny-coder", async () => {
    const tokenizer = await loadTokenizer(TINY_CODER, "");
    const texts = [...(await sourceTexts(7e6)), ...mixedTexts(3e6, 1)];
    const bytes = await assertSame(tokenizer, theirs(tokenizer), texts);
    assert.ok(bytes >= 10e6, `${bytes} bytes`);
    tokenizer.free();
  });

  test("every code point", async () => {
    for (const name of ["digits", "llama3", "qwen2"]) {
      const tokenizer = await loadTokenizer(join(FIXTURES, name), "");
      await assertSame(tokenizer, theirs(tokenizer), everyCodePoint(97));
      tokenizer.free();
    }
  });

  test("mixed text, and back, with every fixture", async () => {
    const folders = [...(await foldersIn(FIXTURES, "")), ...(await foldersIn(GOLDEN, "model"))];
    assert.ok(folders.length >= 14);
    const texts = [...mixedTexts(1e5, 2), "", " ", "\n", "a", " a", "<|endoftext|>", "été"];
    for (const folder of folders) {
      const tokenizer = await loadTokenizer(folder, "");
      const other = theirs(tokenizer);
      await assertSame(tokenizer, other, texts).catch((error: unknown) => {
        throw new Error(folder, { cause: error });
      });
      for (const text of texts.slice(-12)) {
        const ids = tokenizer.encode(text);
        assert.equal(tokenizer.decode(ids), await other.decode([...ids], false), folder);
        assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), await other.decode([...ids], true), folder);
      }
      tokenizer.free();
    }
  });

  test("long runs of one kind", async () => {
    const tokenizer = await loadTokenizer(TINY_CODER, "");
    const runs = ["a", " ", "\n", "!?", "𠀀", "1", "\t \u00a0", "é"].map((bit) => bit.repeat(50_000));
    await assertSame(tokenizer, theirs(tokenizer), [...runs, runs.join("x")]);
    tokenizer.free();
  });

  test("vocab.json and merges.txt mean the same as tokenizer.json", async () => {
    const whole = await loadTokenizer(TINY_CODER, "");
    await withCopy(TINY_CODER, ["tokenizer.json"], async (dir) => {
      const tokenizer = await loadTokenizer(dir, "");
      assert.deepEqual({ ...tokenizer.info, hash: "" }, { ...whole.info, hash: "" });
      for (const text of mixedTexts(2e5, 3)) assert.deepEqual(tokenizer.encode(text), whole.encode(text));
      tokenizer.free();
    });
    whole.free();
  });

  test("a text cut where it may be cut has the ids of its parts", async () => {
    const random = generator(4);
    for (const folder of await foldersIn(FIXTURES, "")) {
      const tokenizer = await loadTokenizer(folder, "");
      for (const text of mixedTexts(5e4, 5)) {
        const cut = lastCut(text.slice(0, random(text.length)), tokenizer.cutRule);
        const head = tokenizer.encode(text.slice(0, cut), { continues: true });
        const tail = tokenizer.encode(text.slice(cut), { continued: true });
        assert.deepEqual([...head, ...tail], [...tokenizer.encode(text)], basename(folder));
      }
      tokenizer.free();
    }
  });

  test("lone surrogates are U+FFFD, and a limit keeps the first ids", async () => {
    const tokenizer = await loadTokenizer(TINY_CODER, "");
    assert.deepEqual(tokenizer.encode("a\ud800b\udc00"), tokenizer.encode("a\ufffdb\ufffd"));
    const text = "one two three ".repeat(20_000);
    assert.deepEqual(tokenizer.encode(text, { maxTokens: 100 }), tokenizer.encode(text).subarray(0, 100).slice());
    assert.equal(tokenizer.encode("<|endoftext|> a b c", { maxTokens: 1 }).length, 1);
    tokenizer.free();
  });
});
