/** Tokenizers from metadata give the ids of the files that they once were. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Tokenizer } from "tokenizers";
import { buildTokenizer } from "@gradpool/gguf";
import { failure, ggufOf, modelFixture, parse, type Field } from "./support.js";

const ALPHABET = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789!.,'_()=:Ċĉčâĸ¤", "Ġ"];
const TOKENS = ["<|end|>", ...new Set(ALPHABET), "12", "123", "1234", "in", "ing", "Ġ1", "<tool>", "don't"];
const FIELDS: Record<string, Field> = {
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "gpt-2",
  "tokenizer.ggml.tokens": TOKENS,
  "tokenizer.ggml.token_type": { int32: TOKENS.map((token) => (token === "<|end|>" ? 3 : token === "<tool>" ? 4 : 1)) },
  "tokenizer.ggml.merges": ["1 2", "12 3", "123 4", "i n", "in g", "Ġ 1"],
  "tokenizer.ggml.bos_token_id": 0,
  "tokenizer.ggml.eos_token_id": 0,
};

const build = (changes: Record<string, Field> = {}) => buildTokenizer(parse(ggufOf({ ...FIELDS, ...changes })));

async function pieces(changes: Record<string, Field>, text: string): Promise<string[]> {
  const tokenizer = Tokenizer.fromString(build(changes).get("tokenizer.json") ?? "");
  return (await tokenizer.encode(text)).getTokens();
}

describe("the pre-tokenizer decides where texts are split", () => {
  const text = "thing 1234";
  const cases: [string, string[]][] = [
    ["gpt-2", ["t", "h", "ing", "Ġ", "1234"]],
    ["smollm", ["t", "h", "ing", "Ġ", "1", "2", "3", "4"]],
    ["qwen2", ["t", "h", "ing", "Ġ", "1", "2", "3", "4"]],
    ["llama-bpe", ["<|end|>", "t", "h", "ing", "Ġ", "123", "4"]],
  ];
  for (const [pre, expected] of cases) {
    test(pre, async () => assert.deepEqual(await pieces({ "tokenizer.ggml.pre": pre }, text), expected));
  }
  test("llama-bpe takes a token as a whole where there are no merges to it", async () => {
    const whole = {
      "tokenizer.ggml.pre": "llama-bpe",
      "tokenizer.ggml.merges": ["i n"],
      "tokenizer.ggml.add_bos_token": false,
    };
    assert.deepEqual(await pieces(whole, "123ing"), ["123", "ing"]);
  });
});

test("control and user-defined tokens are found in texts", async () => {
  assert.deepEqual(await pieces({}, "a<tool>b<|end|>"), ["a", "<tool>", "b", "<|end|>"]);
  const { added_tokens: added } = JSON.parse(build().get("tokenizer.json") ?? "") as {
    added_tokens: { special: boolean }[];
  };
  assert.deepEqual(
    added.map(({ special }) => special),
    [true, false],
  );
});

test("tokens that look like control tokens are, whatever their type says (llama.cpp's llama-vocab.cpp)", async () => {
  const tokens = [...TOKENS, "<|im_end|>", "<|im_start|>", "<unk>"];
  const types = { int32: [...TOKENS.map(() => 1), 1, 1, 2] };
  const changes = { "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types };
  assert.deepEqual((await pieces(changes, "a<|im_end|>b<unk>")).slice(0, 4), ["a", "<|im_end|>", "b", "<unk>"]);
  assert.notDeepEqual(await pieces(changes, "<|im_start|>"), ["<|im_start|>"]);
});

test("a token U+FEFF is itself", () => {
  const tokens = [...TOKENS, "\ufeff", "\ufeffa"];
  const changes = { "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": { int32: tokens.map(() => 1) } };
  const { model } = JSON.parse(build(changes).get("tokenizer.json") ?? "") as {
    model: { vocab: Record<string, number> };
  };
  assert.deepEqual([model.vocab["\ufeff"], model.vocab["\ufeffa"]], [TOKENS.length, TOKENS.length + 1]);
});

test("a padding token out of range is none", () => {
  const config = JSON.parse(
    build({ "tokenizer.ggml.padding_token_id": 9999 }).get("tokenizer_config.json") ?? "",
  ) as object;
  assert.ok(!("pad_token" in config));
});

test("the file says whether bos and eos go around texts", async () => {
  const around = { "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": true };
  assert.deepEqual(await pieces(around, "a"), ["<|end|>", "a", "<|end|>"]);
  assert.deepEqual(await pieces({}, "a"), ["a"]);
});

test("a reference model's tokenizer comes back as it was", async () => {
  const path = new URL("../../../../integration-tests/fixtures/golden/llama-gqa/", import.meta.url);
  const original = Tokenizer.fromString(readFileSync(new URL("model/tokenizer.json", path), "utf8"));
  const rebuilt = Tokenizer.fromString(
    buildTokenizer(parse(modelFixture("llama-gqa.gguf"))).get("tokenizer.json") ?? "",
  );
  for (const line of readFileSync(new URL("data.jsonl", path), "utf8").trim().split("\n")) {
    const { content } = JSON.parse(line) as { content: string };
    assert.deepEqual((await rebuilt.encode(content)).getIds(), (await original.encode(content)).getIds());
  }
});

test("special tokens and chat template go into tokenizer_config.json", () => {
  const config = JSON.parse(
    build({ "tokenizer.chat_template": "{{ x }}", "tokenizer.ggml.padding_token_id": 1 }).get(
      "tokenizer_config.json",
    ) ?? "",
  ) as object;
  assert.deepEqual(config, {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<|end|>",
    eos_token: "<|end|>",
    pad_token: "a",
    chat_template: "{{ x }}",
    clean_up_tokenization_spaces: false,
  });
});

const REFUSED: [string, Record<string, Field>, RegExp][] = [
  ["SentencePiece", { "tokenizer.ggml.model": "llama" }, /SentencePiece-style/],
  ["WordPiece", { "tokenizer.ggml.model": "bert" }, /the tokenizer "bert"/],
  ["an unknown pre-tokenizer", { "tokenizer.ggml.pre": "tekken" }, /"tekken" is not known.*known: gpt-2, smollm/],
];
for (const [name, changes, message] of REFUSED) {
  test(`${name} is refused by name`, () =>
    assert.throws(() => build(changes), failure("failed_precondition", message)));
}
const DAMAGED: [string, Record<string, Field>, RegExp][] = [
  [
    "a token twice",
    { "tokenizer.ggml.tokens": ["a", "a"], "tokenizer.ggml.token_type": { int32: [1, 1] } },
    /has the token "a" twice/,
  ],
  ["types of other tokens", { "tokenizer.ggml.token_type": { int32: [1] } }, /1 token types for/],
  ["a merge of three", { "tokenizer.ggml.merges": ["a b c"] }, /not two entries/],
  ["an invalid eos token", { "tokenizer.ggml.eos_token_id": 9999 }, /9999 is not a token/],
  ["tokens that are numbers", { "tokenizer.ggml.tokens": { int32: [1] } }, /not a list of texts/],
];
for (const [name, changes, message] of DAMAGED) {
  test(`${name} is damage`, () => assert.throws(() => build(changes), failure("data_loss", message)));
}
test("no pre-tokenizer at all", () => {
  const { "tokenizer.ggml.pre": _, ...fields } = FIELDS;
  assert.throws(
    () => buildTokenizer(parse(ggufOf(fields))),
    failure("failed_precondition", /does not name its pre-tokenizer/),
  );
});
