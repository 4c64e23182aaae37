import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import fc from "fast-check";
import { headerLength, parseHeader, readSafetensors } from "../src/index.js";
import { bytesOf, EVERY_DTYPE, failure, fileOf } from "./support.js";

const entry = (dtype: string, shape: string, offsets: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
const one = (dtype: string, shape: string, offsets: string) => `{"x":${entry(dtype, shape, offsets)}}`;
const F32 = entry("F32", "[2]", "[0,8]");

/** What is wrong, the header, bytes after it, what the message must say. */
const CASES: [string, string | Uint8Array, number, RegExp][] = [
  ["no JSON", "hello", 0, /begin with \{/],
  ["an empty header", "", 0, /begin with \{/],
  ["a byte order mark", "\ufeff{}", 0, /begin with \{/],
  ["leading space", " {}", 0, /begin with \{/],
  ["an array", "[]", 0, /begin with \{/],
  ["an open object", "{", 0, /the end/],
  ["text after the object", "{}x", 0, /"x" after/],
  ["a trailing comma", `{"x":${F32},}`, 8, /"}" where a key/],
  ["invalid UTF-8", new Uint8Array([0x7b, 0xff, 0x7d]), 0, /UTF-8/],
  ["a lone surrogate", `{"\\ud800":${F32}}`, 8, /Unicode/],
  ["a bad escape", `{"\\x":${F32}}`, 8, /JSON string/],
  ["a control character in a name", `{"a\nb":${F32}}`, 8, /JSON string/],
  ["an open string", `{"abc`, 0, /truncated within/],
  ["a duplicate tensor", `{"x":${F32},"x":${F32}}`, 8, /"x" twice/],
  ["a duplicate tensor by escape", `{"x":${F32},"\\u0078":${F32}}`, 8, /"x" twice/],
  ["a duplicate field", `{"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, /dtype twice/],
  ["duplicate metadata", `{"__metadata__":{"a":"","a":""}}`, 0, /"a" twice/],
  ["metadata twice", `{"__metadata__":{},"__metadata__":{}}`, 0, /__metadata__ twice/],
  ["metadata of numbers", `{"__metadata__":{"a":1}}`, 0, /"a" in __metadata__/],
  ["metadata of objects", `{"__metadata__":{"a":{}}}`, 0, /"a" in __metadata__/],
  ["metadata that is a string", `{"__metadata__":"a"}`, 0, /__metadata__ should have \{/],
  ["an unknown field", `{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"code":"x"}}`, 8, /unknown field "code"/],
  ["no dtype", `{"x":{"shape":[2],"data_offsets":[0,8]}}`, 8, /"x" has no dtype/],
  ["no shape", `{"x":{"dtype":"F32","data_offsets":[0,8]}}`, 8, /"x" has no shape/],
  ["no offsets", `{"x":{"dtype":"F32","shape":[2]}}`, 8, /"x" has no data_offsets/],
  ["a tensor that is null", `{"x":null}`, 0, /tensor "x" should have \{/],
  ["an unknown dtype", one("F33", "[2]", "[0,8]"), 8, /"x" has the unknown dtype "F33"/],
  ["a dtype of Object's prototype", one("toString", "[2]", "[0,8]"), 8, /unknown dtype "toString"/],
  ["a negative size", one("F32", "[-2]", "[0,8]"), 8, /the shape of tensor "x" has -2/],
  ["a fraction", one("F32", "[2.0]", "[0,8]"), 8, /2\.0/],
  ["an exponent", one("F32", "[2e0]", "[0,8]"), 8, /2e0/],
  ["a leading zero", one("F32", "[02]", "[0,8]"), 8, /02/],
  ["a size beyond 2^53", one("F32", "[9007199254740993]", "[0,8]"), 8, /9007199254740993/],
  ["a very long number", one("F32", `[${"9".repeat(1000)}]`, "[0,8]"), 8, /9{40}, which/],
  ["a size that is text", one("F32", `["2"]`, "[0,8]"), 8, /the shape of tensor "x"/],
  ["a nested shape", one("F32", "[[2]]", "[0,8]"), 8, /the shape of tensor "x"/],
  ["too many dimensions", one("F32", `[${"1,".repeat(64)}1]`, "[0,4]"), 4, /more than 64/],
  ["a product that overflows", one("F32", "[4294967296,4294967296]", "[0,8]"), 8, /too large/],
  ["an overflow hidden by a zero", one("F32", "[4294967296,4294967296,0]", "[0,0]"), 0, /too large/],
  ["begin after end", one("F32", "[2]", "[8,0]"), 8, /ends before it begins/],
  ["one offset", one("F32", "[2]", "[8]"), 8, /1 data_offsets/],
  ["three offsets", one("F32", "[2]", "[0,8,8]"), 8, /3 data_offsets/],
  ["a negative offset", one("F32", "[2]", "[-8,0]"), 8, /-8/],
  ["an end beyond the file", one("F32", "[2]", "[0,8]"), 7, /beyond the end/],
  ["bytes that do not match the shape", one("F32", "[3]", "[0,8]"), 8, /has 8 bytes, but F32 \[3\] takes 12/],
  ["a gap at the start", one("F32", "[1]", "[4,8]"), 8, /gap of 4 bytes before tensor "x"/],
  ["bytes at the end", F32.replace(/^/, `{"x":`) + "}", 9, /1 bytes follow/],
  ["an overlap", `{"x":${F32},"y":${entry("F32", "[2]", "[4,12]")}}`, 12, /"y" overlaps/],
  ["a shared range", `{"x":${F32},"y":${F32}}`, 8, /overlaps/],
  ["a gap between", `{"x":${F32},"y":${entry("F32", "[1]", "[12,16]")}}`, 16, /gap of 4 bytes before tensor "y"/],
];

for (const [name, header, dataBytes, text] of CASES) {
  test(`${name} is refused`, () => {
    assert.throws(() => readSafetensors(fileOf(header, dataBytes), "model.safetensors"), failure("data_loss", text));
  });
}

test("messages name the file and stay one bounded line", () => {
  const name = "line\\n".repeat(1000);
  assert.throws(
    () => readSafetensors(fileOf(`{"${name}":${entry("F32", "[3]", "[0,8]")}}`, 8), "a/model.safetensors"),
    (error: Error) => /^a\/model\.safetensors is damaged: /.test(error.message) && error.message.length < 600,
  );
});

test("lengths beyond the file or beyond 100 MB are refused before anything is read", () => {
  assert.throws(() => headerLength(new Uint8Array(7)), failure("data_loss", /7 bytes/));
  assert.throws(() => headerLength(fileOf("", 0, 2n ** 64n - 1n)), failure("data_loss", /18446744073709551615/));
  assert.throws(() => headerLength(fileOf("", 0, 100_000_001n)), failure("data_loss", /100000000/));
  assert.equal(headerLength(fileOf("", 0, 100_000_000n)), 100_000_000);
  assert.throws(() => readSafetensors(fileOf("{}", 0, 3n)), failure("data_loss", /claims 3 bytes/));
  assert.throws(() => parseHeader(fileOf("{}", 0), 9), failure("data_loss", /claims 2 bytes/));
});

test("element types of the format that nothing computes with are named, not called damage", () => {
  const file = fileOf(one("F8_E4M3", "[8]", "[0,8]"), 8);
  assert.throws(() => readSafetensors(file), failure("unimplemented", /"x".*F8_E4M3.*convert/));
});

test("deep nesting and a huge header are refused in linear time", () => {
  const millions = 20_000_000;
  const parse = (file: Uint8Array) => parseHeader(file, file.byteLength);
  const nested = fileOf('{"x":' + "[".repeat(millions), 0);
  assert.throws(() => parse(nested), failure("data_loss", /"x"/));
  assert.throws(() => parse(fileOf('{"' + "\\\\".repeat(millions / 2), 0)), failure("data_loss", /truncated/));
  // In memory are small files only.
  assert.throws(() => readSafetensors(nested), failure("data_loss", /header of 20000005 bytes, where 8000000 are/));
});

test("any mutation of a good file gives a typed error or a correct reading", () => {
  const file = bytesOf(EVERY_DTYPE);
  const mutation = fc.record({
    at: fc.oneof({ weight: 4, arbitrary: fc.nat(1500) }, { weight: 1, arbitrary: fc.nat(5000) }),
    remove: fc.nat(12),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc
        .constantFrom('"', "{", "}", "[", "]", ",", ":", "0", "9", "-1", "1e9", "\\", "null", '"x":', "F16", "\0")
        .map((text) => new TextEncoder().encode(text)),
    ),
    fixLength: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
      let bytes = [...file];
      for (const { at, remove, insert, fixLength } of mutations) {
        bytes.splice(at, remove, ...insert);
        const change = insert.length - Math.min(remove, file.length - at);
        if (fixLength && at >= 8 && bytes.length > 8) {
          const length = new DataView(Uint8Array.from(bytes).buffer).getUint16(0, true) + change;
          bytes = [length & 255, (length >> 8) & 255, ...bytes.slice(2)];
        }
      }
      checkReading(Uint8Array.from(bytes));
    }),
    { numRuns: 3000 },
  );
});

/** Either a typed refusal, or tensors that tile the file's data exactly. */
function checkReading(file: Uint8Array): void {
  let reading: ReturnType<typeof readSafetensors>;
  try {
    reading = readSafetensors(file);
  } catch (error) {
    assert.ok(error instanceof GradpoolError, `an untyped error: ${String(error)}`);
    return;
  }
  const size = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 };
  let bytes = 8 + headerLength(file);
  for (const { dtype, shape, data } of reading.tensors.values()) {
    assert.equal(
      data.byteLength,
      shape.reduce((product, n) => product * n, size[dtype]),
    );
    bytes += data.byteLength;
  }
  assert.equal(bytes, file.byteLength);
}
