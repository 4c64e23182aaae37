/** Whatever a file claims: a typed error, in bounded memory and time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import {
  dictOf,
  fixture,
  readBytes,
  refuses,
  tensorOf,
  type TensorSpec,
  torchFileOf,
  unicode,
  zipOf,
} from "./support.js";

const DATA = { 0: new Uint8Array(16) };
const one = (spec: TensorSpec, data: Record<string, Uint8Array> = DATA) =>
  torchFileOf(dictOf({ w: tensorOf(spec) }), data);

test("the files built here are sound", async () => {
  const { tensors } = await readBytes(one({}));
  assert.deepEqual(tensors.get("w")?.shape, [2, 2]);
});

const CALLS: [string, string, RegExp][] = [
  ["os.system", `cos\nsystem\n(${unicode("true")}tR`, /"os\.system"/],
  ["builtins.eval", `cbuiltins\neval\n(${unicode("1")}tR`, /"builtins\.eval"/],
  ["eval by STACK_GLOBAL", `\x8c\x08builtins\x8c\x04eval\x93`, /"builtins\.eval"/],
  ["torch.load", `ctorch\nload\n(${unicode("x")}tR`, /"torch\.load"/],
  ["another rebuild function", "ctorch._utils\n_rebuild_device_tensor_from_numpy\n)R", /_rebuild_device/],
  ["a name with dots", "ctorch\nnn.Module.__init__\n)R", /nn\.Module/],
  ["a storage type as a function", "ctorch\nFloatStorage\n)R", /calls torch\.FloatStorage/],
  ["a text as a function", `${unicode("x")})R`, /calls a string/],
  ["OrderedDict of something", "ccollections\nOrderedDict\n(K\x01tR", /makes an OrderedDict of something/],
  ["the state of a tensor", `${tensorOf()}}b`, /sets the state of TorchTensor/],
  ["INST", "(ios\nsystem\n", /opcode 0x69/],
  ["OBJ", "(cos\nsystem\no", /"os\.system"/],
  ["NEWOBJ", "ccollections\nOrderedDict\n)\x81", /opcode 0x81/],
  ["EXT1", "\x82\x01", /opcode 0x82/],
  ["a persistent id in text", "Pstorage\n", /opcode 0x50/],
];
for (const [name, pickle, message] of CALLS) {
  test(`a pickle with ${name}`, async () => {
    await assert.rejects(readBytes(torchFileOf(dictOf({ w: pickle }), DATA)), (error: unknown) => {
      assert.ok(error instanceof GradpoolError);
      assert.match(error.message, message);
      return true;
    });
  });
}

const DAMAGE: [string, Uint8Array, ErrorCode, RegExp][] = [
  ["nothing", Buffer.alloc(0), "data_loss", /not written by torch\.save/],
  ["other bytes", Buffer.from("PK, or so it seems, and more"), "data_loss", /not written by torch\.save/],
  ["no pickle", zipOf({ "archive/data/0": Buffer.alloc(4) }), "data_loss", /holds 0 data\.pkl/],
  [
    "two pickles",
    zipOf({ "a/data.pkl": Buffer.alloc(4), "b/data.pkl": Buffer.alloc(4) }),
    "data_loss",
    /holds 2 data\.pkl/,
  ],
  [
    "big-endian",
    zipOf({ "a/data.pkl": Buffer.from("\x80\x02}.", "latin1"), "a/byteorder": Buffer.from("big") }),
    "failed_precondition",
    /byte order/,
  ],
  ["a list", torchFileOf("]"), "failed_precondition", /a list instead of a dict/],
  ["a dict of dicts", torchFileOf(dictOf({ model: "}" })), "failed_precondition", /"model" is a dict, not a tensor/],
  ["a numeric key", torchFileOf("}K\x01Ns"), "failed_precondition", /a number as a key/],
  ["a key given twice", torchFileOf(`}(${unicode("w")}N${unicode("w")}Nu`), "data_loss", /"w" twice/],
  ["a list in itself as a key", torchFileOf("}(]q\x00h\x00aNh\x00Nu"), "data_loss", /a list twice/],
  ["a mark that is not there", torchFileOf("t"), "data_loss", /mark/],
  ["an empty stack", torchFileOf("R"), "data_loss", /not there/],
  ["a memo that is not there", torchFileOf("h\x07"), "data_loss", /recalls 7/],
  ["protocol 1", zipOf({ "a/data.pkl": Buffer.from("\x80\x01}.", "latin1") }), "failed_precondition", /protocol 1/],
  ["no end", zipOf({ "a/data.pkl": Buffer.from("\x80\x02}", "latin1") }), "data_loss", /is truncated/],
  ["a text beyond the end", torchFileOf("X\xff\xff\xff\xff"), "data_loss", /is truncated/],
  ["a number of 255 bytes", torchFileOf(`\x8a\xff${"\x7f".repeat(255)}`), "data_loss", /too large/],
  ["a missing storage", one({ key: "1" }), "data_loss", /storage "1" is missing/],
  ["a storage elsewhere", one({ key: "../../data.pkl" }), "data_loss", /missing/],
  [
    "a storage of another size",
    one({ elements: 5, shape: [5], strides: [1] }),
    "data_loss",
    /16 bytes where 5 elements/,
  ],
  ["an unknown storage type", one({ type: "torch\nQInt8Storage" }), "failed_precondition", /QInt8Storage/],
  ["a view beyond its storage", one({ offset: 1 }), "data_loss", /beyond its storage/],
  ["a shape that overflows", one({ shape: [2 ** 32, 2 ** 32], strides: [1, 1] }), "data_loss", /too large/],
  ["an overflow hidden by a zero", one({ shape: [2 ** 32, 2 ** 32, 0], strides: [1, 1, 1] }), "data_loss", /too large/],
  ["a negative offset", one({ offset: -1 }), "data_loss", /impossible/],
  ["more strides than dimensions", one({ strides: [2, 1, 1] }), "data_loss", /impossible/],
  [
    "65 dimensions",
    one({ shape: Array<number>(65).fill(1), strides: Array<number>(65).fill(1) }),
    "data_loss",
    /impossible/,
  ],
  [
    "a storage described in two ways",
    torchFileOf(dictOf({ a: tensorOf(), b: tensorOf({ type: "torch\nIntStorage" }) }), DATA),
    "data_loss",
    /two ways/,
  ],
];
for (const [name, file, code, message] of DAMAGE) test(name, () => refuses(file, code, message));

test("a pickle that does not match its CRC-32", async () => {
  const file = one({});
  file[file.indexOf("cpu")] = 0x63 ^ 1;
  await refuses(file, "data_loss", /CRC-32/);
});
test("compressed, encrypted, doubled and overlapping entries", async () => {
  const file = one({});
  const directoryAt = file.indexOf("PK\x01\x02");
  const second = file.indexOf("PK\x01\x02", directoryAt + 1);
  const changed = (at: number, value: number) => {
    const copy = Buffer.from(file);
    copy[at] = value;
    return copy;
  };
  await refuses(changed(directoryAt + 10, 8), "failed_precondition", /compressed/);
  await refuses(changed(directoryAt + 8, 1), "failed_precondition", /encrypted/);
  await refuses(changed(second + 42, 0), "data_loss", /overlaps|twice|not where/);
  await refuses(changed(second + 46 + 13, "1".charCodeAt(0)), "data_loss", /storage "0" is missing/);
  // A local header that claims a long name moves its data into the directory.
  await refuses(changed(file.indexOf("PK\x03\x04", 4) + 27, 0xff), "data_loss", /overlaps/);
  await refuses(file.subarray(0, file.length - 1), "data_loss", /no zip directory/);
});
test("memory stays bounded: a pickle of a million dicts, marks or numbers", async () => {
  for (const opcode of ["}", "]", "("]) {
    await refuses(torchFileOf(opcode.repeat(2_000_000)), "failed_precondition", /more than 1000000 objects/);
  }
  await refuses(torchFileOf("K\x01".repeat(7_000_000)), "failed_precondition", /a number instead of a dict/);
  await refuses(torchFileOf("N".repeat(17_000_000)), "data_loss", /its pickle has 17000003 bytes/);
});
test("nesting does not recurse", async () => {
  await refuses(torchFileOf(`N${"\x85".repeat(900_000)}`), "failed_precondition", /Tuple instead of a dict/);
});

/** A file from before torch 1.6, of its pickles after the magic number, and what follows them. */
const oldFileOf = (pickles: string[], data = Buffer.alloc(0)) =>
  Buffer.concat([
    Buffer.from("80028a0a6cfc9c46f9206aa850192e", "hex"),
    ...pickles.map((pickle) => Buffer.from(`\x80\x02${pickle}.`, "latin1")),
    data,
  ]);
const VERSION = "M\xe9\x03";
const LITTLE = `}${unicode("little_endian")}\x88s`;
const ONE_STORAGE = [VERSION, LITTLE, dictOf({ w: tensorOf() }), `]${unicode("0")}a`];
const FOUR = Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(16)]);

test("the old files built here are sound", async () => {
  assert.deepEqual((await readBytes(oldFileOf(ONE_STORAGE, FOUR))).tensors.get("w")?.shape, [2, 2]);
});

const OLD: [string, Uint8Array, ErrorCode, RegExp][] = [
  ["another version", oldFileOf(["K\x01"]), "failed_precondition", /unknown version "1"/],
  ["big-endian", oldFileOf([VERSION, `}${unicode("little_endian")}\x89s`]), "failed_precondition", /byte order/],
  ["code", oldFileOf([VERSION, LITTLE, "cos\nsystem\n)R"]), "failed_precondition", /"os\.system"/],
  ["code as its version", oldFileOf(["cos\nsystem\n)R"]), "failed_precondition", /"os\.system"/],
  ["no list of storages", oldFileOf(ONE_STORAGE.slice(0, 3)), "data_loss", /is truncated/],
  ["an empty list of storages", oldFileOf([...ONE_STORAGE.slice(0, 3), "]"], FOUR), "data_loss", /list of storages/],
  [
    "a storage twice",
    oldFileOf([...ONE_STORAGE.slice(0, 3), `](${unicode("0")}${unicode("0")}e`], FOUR),
    "data_loss",
    /list of storages/,
  ],
  [
    "another number of elements",
    oldFileOf(ONE_STORAGE, Buffer.concat([Buffer.alloc(8), FOUR.subarray(8)])),
    "data_loss",
    /does not have its 4 elements/,
  ],
  ["a storage beyond the end", oldFileOf(ONE_STORAGE, FOUR.subarray(0, 23)), "data_loss", /beyond the end/],
  ["bytes at the end", oldFileOf(ONE_STORAGE, Buffer.concat([FOUR, FOUR])), "data_loss", /24 bytes follow/],
];
for (const [name, file, code, message] of OLD) test(`an old file with ${name}`, () => refuses(file, code, message));

for (const name of ["state_dict.bin", "old.bin"])
  test(`any mutation of ${name} gives a typed error or tensors within the file`, async () => {
    const good = fixture(name);
    const edit = fc.record({
      at: fc.nat(good.length - 1),
      value: fc.nat(255),
      from: fc.nat(good.length - 1),
      copy: fc.nat(40),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { minLength: 1, maxLength: 5 }),
        fc.option(fc.nat(good.length)),
        async (edits, cut) => {
          const file = Buffer.from(good);
          for (const { at, value, from, copy } of edits) {
            if (copy > 20) file.copy(file, at, from, from + copy);
            else file[at] = value;
          }
          await checkReading(cut === null ? file : file.subarray(0, cut));
        },
      ),
      { numRuns: 1500 },
    );
  });

test("any mutation of the pickle gives a typed error or tensors within the file", async () => {
  const pickle = dictOf({ a: tensorOf(), b: tensorOf({ offset: 2, shape: [2], strides: [1] }) });
  const part = fc.oneof(
    fc.constantFrom(
      "(",
      "t",
      ")",
      "}",
      "]",
      "u",
      "s",
      "a",
      "e",
      "R",
      "b",
      "Q",
      "q\0",
      "h\0",
      "N",
      ".",
      "\x85",
      "\x93",
      "K\x01",
    ),
    fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  );
  const edit = fc.record({ at: fc.nat(pickle.length), remove: fc.nat(6), insert: fc.array(part, { maxLength: 3 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
      let text = pickle;
      for (const { at, remove, insert } of edits) text = text.slice(0, at) + insert.join("") + text.slice(at + remove);
      await checkReading(torchFileOf(text, DATA));
    }),
    { numRuns: 3000 },
  );
});

async function checkReading(file: Uint8Array): Promise<void> {
  const reading = await readBytes(file).catch((error: unknown) => {
    assert.ok(error instanceof GradpoolError, `an untyped error: ${String(error)}`);
    return undefined;
  });
  for (const { begin, end } of reading?.tensors.values() ?? []) {
    assert.ok(begin >= 0 && begin <= end && end <= file.byteLength);
  }
}
