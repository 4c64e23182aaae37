/** Which tokenizers are loaded, what they add, and how others are refused. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { Tokenizer } from "tokenizers";
import { loadTokenizer } from "../src/index.js";
import { edit, FIXTURES, type JsonObject, PLAIN, TINY_CODER, withCopy } from "./folders.js";

/** Loading it fails with this code, in one line that says this. */
async function refused(dir: string, code: string, says: RegExp, padToken = ""): Promise<void> {
  await assert.rejects(loadTokenizer(dir, padToken), (error: unknown) => {
    assert.ok(error instanceof GradpoolError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, says);
    assert.doesNotMatch(error.message, /\n/);
    assert.match(error.message, /; /, "says what to do");
    return true;
  });
}

type Change = (root: JsonObject & { model: JsonObject; added_tokens: JsonObject[] }) => void;

/** With tokenizer.json changed. */
async function refusedWhen(change: Change, code: string, says: RegExp): Promise<void> {
  await withCopy(PLAIN, [], async (dir) => {
    await edit(dir, "tokenizer.json", (root) => change(root as Parameters<Change>[0]));
    await refused(dir, code, says);
  });
}

const sequence = (...steps: JsonObject[]) => ({
  type: "Sequence",
  pretokenizers: [...steps, { type: "ByteLevel", add_prefix_space: false, use_regex: false }],
});
const split = (regex: string) => ({ type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false });

test("truncation_side is the configuration's, else tokenizer.json's own (transformers 5.24)", async () => {
  const [left, right] = [{ truncation_side: "left" }, { truncation_side: "right" }];
  for (const [own, configured, expected] of [
    [undefined, {}, "right"],
    ["Left", {}, "left"],
    ["Right", {}, "right"],
    [undefined, left, "left"],
    ["Right", left, "left"],
    ["Left", right, "right"],
  ] as const) {
    await withCopy(PLAIN, [], async (dir) => {
      const truncation = own && { direction: own, max_length: 5, strategy: "LongestFirst", stride: 0 };
      await edit(dir, "tokenizer.json", (root) => Object.assign(root, { truncation: truncation ?? null }));
      await edit(dir, "tokenizer_config.json", (root) => Object.assign(root, configured));
      const tokenizer = await loadTokenizer(dir, "");
      assert.equal(tokenizer.info.truncationSide, expected, JSON.stringify([own, configured]));
      // It does not cut what is encoded alone.
      assert.ok(tokenizer.encode("a text of more than five tokens").length > 5);
      tokenizer.free();
    });
  }
});

suite("pad and eos tokens", () => {
  test("a tokenizer without a pad token gets <|pad|> after its vocabulary", async () => {
    const tokenizer = await loadTokenizer(PLAIN, "");
    const { padId, padToken, padTokenAdded, vocabSize } = tokenizer.info;
    assert.deepEqual(
      { padId, padToken, padTokenAdded, vocabSize },
      { padId: 512, padToken: "<|pad|>", padTokenAdded: true, vocabSize: 513 },
    );
    assert.deepEqual([...tokenizer.encode("<|pad|>")], [512]);
    const files = tokenizer.files();
    const theirs = Tokenizer.fromString(Buffer.from(files.get("tokenizer.json")!).toString());
    assert.equal(theirs.tokenToId("<|pad|>"), 512);
    assert.equal(theirs.getVocabSize(true), 513);
    const config = JSON.parse(Buffer.from(files.get("tokenizer_config.json")!).toString()) as JsonObject;
    assert.equal(config["pad_token"], "<|pad|>");
    assert.match(Buffer.from(files.get("tokenizer_config.json")!).toString(), /1000000000000000019884624838656/);
    assert.deepEqual(files.get("vocab.json"), new Uint8Array(await readFile(join(PLAIN, "vocab.json"))));
    tokenizer.free();
  });

  test("its own pad token comes before a named one", async () => {
    const tokenizer = await loadTokenizer(join(FIXTURES, "qwen2"), "<|im_start|>");
    assert.equal(tokenizer.info.padToken, "<|endoftext|>");
    assert.equal(tokenizer.info.padTokenAdded, false);
    const file = await readFile(join(FIXTURES, "qwen2", "tokenizer.json"));
    assert.deepEqual(tokenizer.files().get("tokenizer.json"), new Uint8Array(file));
    tokenizer.free();
  });

  test("a named token pads where the tokenizer has none", async () => {
    const tokenizer = await loadTokenizer(PLAIN, "<|endoftext|>");
    assert.equal(tokenizer.info.padId, 0);
    assert.equal(tokenizer.info.vocabSize, 512);
    tokenizer.free();
    await refused(
      PLAIN,
      "invalid_argument",
      /no token "<\|endoftex\|>"; similar ones are "<\|endoftext\|>"/,
      "<|endoftex|>",
    );
  });

  test("the eos token comes from config.json where nothing else names one", async () => {
    await withCopy(PLAIN, [], async (dir) => {
      await edit(dir, "tokenizer_config.json", (root) => delete root["eos_token"]);
      const tokenizer = await loadTokenizer(dir, "");
      assert.equal(tokenizer.info.eosToken, "<|endoftext|>");
      tokenizer.free();
      await edit(dir, "config.json", (root) => (root["eos_token_id"] = 99_999));
      await refused(dir, "failed_precondition", /eos_token_id 99999/);
      await edit(dir, "config.json", (root) => delete root["eos_token_id"]);
      await refused(dir, "failed_precondition", /no eos token/);
    });
  });

  test("the hash says what decides ids", async () => {
    const hashes = new Set<string>();
    for (const [folder, pad] of [
      [PLAIN, ""],
      [PLAIN, "<|endoftext|>"],
      [TINY_CODER, ""],
    ] as const) {
      const tokenizer = await loadTokenizer(folder, pad);
      hashes.add(tokenizer.info.hash);
      tokenizer.free();
    }
    assert.equal(hashes.size, 3);
    await withCopy(PLAIN, [], async (dir) => {
      await edit(dir, "tokenizer.json", () => {});
      const tokenizer = await loadTokenizer(dir, "");
      assert.ok(hashes.has(tokenizer.info.hash), "how the file is written does not matter");
      tokenizer.free();
    });
  });
});

suite("damaged files", () => {
  test("no folder, no tokenizer, a folder in a file's place", async () => {
    const dir = await mkdtemp(join(tmpdir(), "tokenizers-"));
    await refused(dir, "not_found", /has no tokenizer/);
    await refused(join(dir, "nowhere"), "not_found", /has no tokenizer/);
    await rm(dir, { recursive: true });
  });

  test("cut off, or no JSON, or of another shape", async () => {
    for (const name of ["tokenizer.json", "tokenizer_config.json", "config.json"]) {
      await withCopy(PLAIN, [], async (dir) => {
        await truncate(join(dir, name), 100);
        await refused(dir, "data_loss", new RegExp(`^${name} is not valid JSON`));
        for (const content of ["", "[]", "null", "\xff\xfe"]) {
          await writeFile(join(dir, name), content, "latin1");
          await refused(dir, "data_loss", new RegExp(`^${name} is`));
        }
      });
    }
    for (const content of [
      "{}",
      '{"model": 1}',
      '{"model": {"type": "BPE"}}',
      '{"model": {"type": "BPE", "vocab": {"a": 1}}}',
    ]) {
      await withCopy(PLAIN, [], async (dir) => {
        await writeFile(join(dir, "tokenizer.json"), content);
        await refused(dir, "data_loss", /^tokenizer.json is damaged/);
      });
    }
  });

  test("invalid or duplicate ids, and merges of nothing", async () => {
    const vocab = (entries: JsonObject) => (root: { model: JsonObject }) => {
      Object.assign(root.model["vocab"] as JsonObject, entries);
    };
    for (const id of [2 ** 31, -1, 1.5, "7", null])
      await refusedWhen(vocab({ new: id }), "data_loss", /not a whole number below/);
    await refusedWhen(vocab({ new: 5 }), "data_loss", /gives the id 5 to both/);
    const merges = (value: unknown) => (root: { model: JsonObject }) => (root.model["merges"] = value);
    await refusedWhen(merges(["a b c"]), "data_loss", /merge 1 is/);
    await refusedWhen(
      merges([
        ["a", "b"],
        ["x", 1],
      ]),
      "data_loss",
      /merge/,
    );
    await refusedWhen(merges([["a", "nowhere"]]), "data_loss", /merge 1 needs "nowhere"/);
    await refusedWhen((root) => (root.added_tokens[0]!["id"] = 3), "data_loss", /added token "<\|endoftext\|>"/);
    await withCopy(PLAIN, ["tokenizer.json"], async (dir) => {
      await writeFile(join(dir, "merges.txt"), "#version: 0.2\na b c\n");
      await refused(dir, "data_loss", /^merges.txt is damaged: merge 2/);
    });
  });
});

suite("tokenizers of other kinds are refused by name", () => {
  const unsupported = (change: Change, says: RegExp) => refusedWhen(change, "failed_precondition", says);

  test("models", async () => {
    for (const type of ["Unigram", "WordPiece", "WordLevel"]) {
      await unsupported(
        (root) => (root.model = { type, vocab: [] }),
        new RegExp(`a ${type} model is not supported; .*byte-level BPE`),
      );
    }
    await unsupported((root) => (root.model["byte_fallback"] = true), /SentencePiece-style/);
    await unsupported((root) => (root.model["dropout"] = 0.1), /dropout/);
    await unsupported((root) => (root.model["end_of_word_suffix"] = "</w>"), /end_of_word_suffix/);
  });

  test("normalizers, pre-tokenizers, post-processors", async () => {
    await unsupported((root) => (root["normalizer"] = { type: "Lowercase" }), /normalizer "Lowercase"/);
    await unsupported((root) => (root["pre_tokenizer"] = { type: "Metaspace" }), /pre_tokenizer "Metaspace"/);
    await unsupported((root) => (root["pre_tokenizer"] = null), /without a pre_tokenizer/);
    await unsupported((root) => (root["post_processor"] = { type: "Other" }), /post_processor "Other"/);
    const other = { ...split("a"), behavior: "Other" };
    await unsupported((root) => (root["pre_tokenizer"] = sequence(other)), /Split with behavior "Other"/);
  });

  test("patterns that are not supported, or could take very long", async () => {
    const patterns: [string, RegExp][] = [
      ["(a+)+b|.", /a repetition inside of a group/],
      ["a+b|a", /quadratic time/],
      ["a*a*b|a+", /quadratic time/],
      ["\\s+$", /anchor/],
      ["(?<=a)b", /group \(\?</],
      ["a?+b", /possessive/],
      ["\\bword", /\\b/],
      ["\\p{Klingon}", /Klingon/],
      ["a*", /match nothing/],
      ["(a", /unclosed/],
      ["a)", /unmatched/],
      ["[a", /unfinished/],
      ["a".repeat(5000), /4096 characters/],
      [`${"a?".repeat(30)}${"a".repeat(30)}`, /too many ways/],
      [`b(?:${"(?:".repeat(12)}a?${"){0,8}".repeat(12)})`, /too (long|many)/],
      [`${"(?:".repeat(500)}a${"){2}".repeat(500)}`, /too long/],
    ];
    for (const [pattern, says] of patterns) {
      await unsupported((root) => (root["pre_tokenizer"] = sequence(split(pattern))), says);
    }
  });

  test("vocab.json and merges.txt of another class", async () => {
    await withCopy(PLAIN, ["tokenizer.json"], async (dir) => {
      await edit(dir, "tokenizer_config.json", (root) => (root["tokenizer_class"] = "RobertaTokenizer"));
      await refused(dir, "failed_precondition", /RobertaTokenizer.*save tokenizer.json/);
    });
  });
});

suite("chat templates", () => {
  const LLAMA = join(FIXTURES, "llama3");
  const specialTokens = { bos_token: "<|begin_of_text|>", eos_token: "<|end_of_text|>" };
  const loaded = async (dir: string) => {
    const tokenizer = await loadTokenizer(dir, "");
    const plain = [...tokenizer.encode("text", { noSpecialTokens: true })];
    const around = [...tokenizer.encode("text")];
    tokenizer.free();
    return { ...tokenizer.info, plain, around };
  };

  test("come from tokenizer_config.json, or before it from a file of their own, and belong to the hash", async () => {
    await withCopy(LLAMA, [], async (dir) => {
      const without = await loaded(dir);
      assert.equal(without.chatTemplate, undefined);
      await edit(dir, "tokenizer_config.json", (config) => Object.assign(config, { chat_template: "configured" }));
      const configured = await loaded(dir);
      assert.deepEqual(configured.chatTemplate, { template: "configured", specialTokens });
      const named = [
        { name: "tool_use", template: "tools" },
        { name: "default", template: "named" },
      ];
      await edit(dir, "tokenizer_config.json", (config) => Object.assign(config, { chat_template: named }));
      assert.deepEqual((await loaded(dir)).chatTemplate, { template: "named", toolTemplate: "tools", specialTokens });
      const byName = { default: "of an object", tool_use: "tools" };
      const extra = { image_token: "<image>" };
      await edit(dir, "tokenizer_config.json", (config) =>
        Object.assign(config, { chat_template: byName, extra_special_tokens: extra }),
      );
      assert.deepEqual((await loaded(dir)).chatTemplate, {
        template: "of an object",
        toolTemplate: "tools",
        specialTokens: { ...specialTokens, ...extra },
      });
      await edit(dir, "tokenizer_config.json", (config) => delete config["extra_special_tokens"]);
      await writeFile(join(dir, "chat_template.jinja"), "own file");
      const own = await loaded(dir);
      assert.deepEqual(own.chatTemplate, { template: "own file", specialTokens });
      assert.equal(new Set([without.hash, configured.hash, own.hash]).size, 3);
      await edit(dir, "tokenizer_config.json", (config) => Object.assign(config, { chat_template: 5 }));
      await rm(join(dir, "chat_template.jinja"));
      await refused(dir, "data_loss", /chat_template that is neither text nor list/);
    });
  });

  test("for tools may be a file of its own, as transformers 5 saves it; results have both without a folder", async () => {
    await withCopy(LLAMA, [], async (dir) => {
      await mkdir(join(dir, "additional_chat_templates"));
      await writeFile(join(dir, "chat_template.jinja"), "plain");
      await writeFile(join(dir, "additional_chat_templates", "tool_use.jinja"), "tools");
      const chatTemplate = { template: "plain", toolTemplate: "tools", specialTokens };
      assert.deepEqual((await loaded(dir)).chatTemplate, chatTemplate);
      const tokenizer = await loadTokenizer(dir, "");
      const files = tokenizer.files();
      tokenizer.free();
      await withCopy(LLAMA, [...files.keys()], async (result) => {
        for (const [name, content] of files) await writeFile(join(result, name), content);
        assert.ok(!files.has("chat_template.jinja"));
        const { template, toolTemplate } = (await loaded(result)).chatTemplate!;
        assert.deepEqual([template, toolTemplate], ["plain", "tools"]);
      });
    });
  });

  test("are encoded without the ids around a text", async () => {
    const { plain, around } = await loaded(LLAMA);
    assert.deepEqual(around, [600, ...plain]);
  });
});
