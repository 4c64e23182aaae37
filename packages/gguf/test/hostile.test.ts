/** Whatever a file claims: a typed error, in bounded memory and time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { buildTokenizer, parseGguf, readModel } from "@gradpool/gguf";
import { arrayOf, failure, ggufOf, modelFixture, parse, text, uint32, uint64 } from "./support.js";

const refused = (bytes: Uint8Array, code: ErrorCode, message: RegExp) =>
  assert.throws(() => parse(bytes), failure(code, message));

const ONE = { name: "w", dims: [4, 2] };

const FILES: [string, Uint8Array, ErrorCode, RegExp][] = [
  ["nothing", Buffer.alloc(0), "data_loss", /is truncated/],
  ["other bytes", Buffer.from("GGML, and more of it"), "data_loss", /does not begin with GGUF/],
  ["version 1", ggufOf({}, [], { version: 1 }), "unimplemented", /version 1/],
  [
    "a big-endian version",
    ggufOf({}, [], { version: 0x03000000 }),
    "unimplemented",
    /version 50331648 of the format, which is big-endian/,
  ],
  [
    "2^60 tensors",
    Buffer.concat([Buffer.from("GGUF"), uint32(3), uint64(1n << 60n), uint64(0)]),
    "data_loss",
    /claims 11529215046068\d+ tensors/,
  ],
  ["more fields than fit", ggufOf({}, [], { fieldCount: 100_001 }), "data_loss", /100001 pairs/],
  ["fields that are not there", ggufOf({}, [], { fieldCount: 3 }), "data_loss", /is truncated/],
  ["tensors that are not there", ggufOf({}, [], { tensorCount: 3 }), "data_loss", /is truncated/],
  ["a text of 2^63 bytes", ggufOf({ x: Buffer.concat([uint32(8), uint64(1n << 63n)]) }), "data_loss", /is truncated/],
  ["an array of 2^63 texts", ggufOf({ x: arrayOf(8, 1n << 63n) }), "data_loss", /claims 92233720368547\d+ texts/],
  ["an array of 2^63 numbers", ggufOf({ x: arrayOf(12, 1n << 63n) }), "data_loss", /is truncated/],
  ["an array of arrays", ggufOf({ x: arrayOf(9, 1) }), "data_loss", /array of the unknown type 9/],
  ["an unknown field type", ggufOf({ x: uint32(77) }), "data_loss", /unknown type 77/],
  [
    "a field twice",
    Buffer.concat([
      Buffer.from("GGUF"),
      uint32(3),
      uint64(0),
      uint64(2),
      text("x"),
      uint32(7),
      Buffer.from([1]),
      text("x"),
      uint32(7),
      Buffer.from([1]),
    ]),
    "data_loss",
    /"x" twice/,
  ],
  ["an alignment of 3", ggufOf({ "general.alignment": 3 }), "data_loss", /power of two/],
  ["an alignment of 0", ggufOf({ "general.alignment": 0 }), "data_loss", /power of two/],
  ["an alignment of 2^31", ggufOf({ "general.alignment": 2 ** 31 }), "data_loss", /power of two/],
  ["an alignment that is text", ggufOf({ "general.alignment": "32" }), "data_loss", /power of two/],
  ["five dimensions", ggufOf({}, [{ name: "w", dims: [1, 1, 1, 1, 1] }]), "data_loss", /5 dimensions/],
  ["an unknown element type", ggufOf({}, [{ ...ONE, type: 99 }], { dataBytes: 32 }), "data_loss", /unknown type 99/],
  [
    "a type that is not read",
    ggufOf({}, [{ ...ONE, type: 16 }], { dataBytes: 32 }),
    "unimplemented",
    /IQ2_XXS of tensor "w"; use one of F32/,
  ],
  [
    "rows that are not whole blocks",
    ggufOf({}, [{ ...ONE, type: 8 }], { dataBytes: 32 }),
    "data_loss",
    /not a multiple of Q8_0's 32/,
  ],
  ["rows too long", ggufOf({}, [{ name: "w", dims: [1 << 25] }], { dataBytes: 32 }), "data_loss", /rows of 33554432/],
  ["a shape that overflows", ggufOf({}, [{ name: "w", dims: [1024, 1n << 40n, 1n << 40n] }]), "data_loss", /too large/],
  [
    "an overflow hidden by a zero",
    ggufOf({}, [{ name: "w", dims: [0, 1n << 60n, 1n << 60n] }]),
    "data_loss",
    /too large/,
  ],
  ["a tensor beyond the end", ggufOf({}, [ONE], { dataBytes: 31 }), "data_loss", /"w" is beyond the end/],
  [
    "an offset beyond the end",
    ggufOf({}, [{ ...ONE, offset: 1n << 62n }], { dataBytes: 32 }),
    "data_loss",
    /beyond the end/,
  ],
  ["an offset without alignment", ggufOf({}, [{ ...ONE, offset: 8 }], { dataBytes: 64 }), "data_loss", /not aligned/],
  ["an overlap", ggufOf({}, [ONE, { name: "v", dims: [4] }], { dataBytes: 64 }), "data_loss", /overlaps/],
  ["a tensor twice", ggufOf({}, [ONE, { ...ONE, offset: 32 }], { dataBytes: 64 }), "data_loss", /"w" twice/],
];
for (const [name, file, code, message] of FILES) test(name, () => refused(file, code, message));

test("a header that continues after the bytes read so far asks for more, up to the bound", () => {
  const bytes = modelFixture("llama-gqa.gguf");
  assert.equal(parseGguf(bytes.subarray(0, 1000), bytes.byteLength, "model.gguf"), undefined);
  assert.ok(parseGguf(bytes.subarray(0, 100_000), bytes.byteLength, "model.gguf"));
});

test("an array of millions of numbers costs no more than its bytes", () => {
  const count = 8_000_000;
  const { metadata } = parse(ggufOf({ x: Buffer.concat([arrayOf(0, count), Buffer.alloc(count, 7)]) }));
  assert.equal((metadata.get("x") as { length?: number } | undefined)?.length, count);
});

/** Reading, describing and building either succeed or fail with a typed error. */
function readAll(bytes: Uint8Array): void {
  try {
    const file = parseGguf(bytes, bytes.byteLength, "model.gguf");
    if (!file) return;
    for (const { begin, end } of file.tensors.values())
      assert.ok(0 <= begin && begin <= end && end <= bytes.byteLength);
    for (const use of [() => readModel(file), () => buildTokenizer(file)]) {
      try {
        use();
      } catch (error) {
        assert.ok(error instanceof GradpoolError, `an untyped error: ${String(error)}`);
      }
    }
  } catch (error) {
    assert.ok(error instanceof GradpoolError, `an untyped error: ${String(error)}`);
  }
}

test("any mutation of a model's header gives a typed error or a sound reading", () => {
  const good = modelFixture("qwen3-norm.gguf");
  const place = fc.oneof({ weight: 3, arbitrary: fc.nat(1500) }, { weight: 1, arbitrary: fc.nat(good.length - 9) });
  const edit = fc.record({
    at: place,
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      fc.constantFrom(uint64(1n << 62n), uint64(0), uint32(9), uint32(8), uint64(0xffffffffffffffffn)),
    ),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), fc.option(fc.nat(good.length)), (edits, cut) => {
      const bytes = Buffer.from(good);
      for (const { at, bytes: inserted } of edits) bytes.set(inserted, at);
      readAll(cut === null ? bytes : bytes.subarray(0, cut));
    }),
    { numRuns: 1500 },
  );
});

test("any fields give a typed error or a sound reading", () => {
  const keys = [
    "general.architecture",
    "llama.block_count",
    "llama.embedding_length",
    "llama.attention.head_count",
    "llama.rope.scaling.type",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.eos_token_id",
  ];
  const value = fc.oneof(
    fc.constantFrom("llama", "gpt2", "smollm", "gpt-2", "qwen2", "linear"),
    fc.nat(100),
    fc.double({ noNaN: true, min: 0.1, max: 1e6 }),
    fc.boolean(),
    fc.array(fc.constantFrom("a", "b", "a b", "", "ab", "__proto__", "<|x|>"), { maxLength: 5 }),
    fc.array(fc.nat(6), { maxLength: 5 }).map((int32) => ({ int32 })),
  );
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 11 }), (fields) => readAll(ggufOf(fields))),
    { numRuns: 1500 },
  );
});
