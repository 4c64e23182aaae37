/** Damages to a saved checkpoint, and what a store must do with each. */
import assert from "node:assert/strict";
import { GradpoolError } from "@gradpool/errors";
import type { ArtifactStore } from "../src/artifact-store.js";

export const GOOD = "checkpoint-epoch0-step2";
export const BAD = "checkpoint-epoch0-step4";

const SEED = 20_251_124;
const RANDOM_LENGTHS = 1_000;
const RANDOM_FLIPS = 10_000;
const NEVER = new AbortController().signal;

export type DamageKind = "cuts" | "header flips" | "flips";

export interface Damage {
  path: string;
  /** For messages. */
  what: string;
  /** The damaged content. */
  bytes: Uint8Array;
}

/** All damages of a kind, the same in the same order each time. */
export function damages(kind: DamageKind, files: ReadonlyMap<string, Uint8Array>): Generator<Damage> {
  return { cuts, "header flips": headerFlips, flips }[kind](files);
}

function* cuts(files: ReadonlyMap<string, Uint8Array>): Generator<Damage> {
  const below = random(SEED);
  for (const [path, bytes] of files) {
    for (let i = 0; i < RANDOM_LENGTHS; i++) {
      const length = below(bytes.byteLength);
      yield { path, what: `${path} cut to ${length} bytes`, bytes: bytes.subarray(0, length) };
    }
  }
}

/** Each bit of the manifest and of the safetensors headers. */
function* headerFlips(files: ReadonlyMap<string, Uint8Array>): Generator<Damage> {
  for (const [path, bytes] of files) {
    const isManifest = path.endsWith("/manifest.json");
    if (!isManifest && !path.endsWith(".safetensors")) continue;
    const end = isManifest ? bytes.byteLength : headerEnd(bytes);
    for (let bit = 0; bit < 8 * end; bit++) yield flip(path, bytes, bit);
  }
}

/** Bits of all files, each as likely. */
function* flips(files: ReadonlyMap<string, Uint8Array>): Generator<Damage> {
  const below = random(SEED);
  const total = [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  for (let i = 0; i < RANDOM_FLIPS; i++) {
    let bit = below(8 * total);
    for (const [path, bytes] of files) {
      if (bit < 8 * bytes.byteLength) {
        yield flip(path, bytes, bit);
        break;
      }
      bit -= 8 * bytes.byteLength;
    }
  }
}

function flip(path: string, bytes: Uint8Array, bit: number): Damage {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
  return { path, what: `${path}: bit ${bit}`, bytes: copy };
}

/** Where the file's format changes: before, within and after the header, after each tensor. */
export function boundaries(path: string, bytes: Uint8Array): number[] {
  const size = bytes.byteLength;
  const ends = [0, 1, size >> 1, size - 1];
  if (!path.endsWith(".safetensors")) return ends;
  const header = headerEnd(bytes);
  const tensors = JSON.parse(new TextDecoder().decode(bytes.subarray(8, header))) as Record<
    string,
    { data_offsets?: [number, number] }
  >;
  const tensorEnds = Object.values(tensors).flatMap(({ data_offsets }) => data_offsets?.map((at) => header + at) ?? []);
  return [...ends, 7, 8, 9, header - 1, header, header + 1, ...tensorEnds].filter((length) => length < size);
}

/** Bytes of a safetensors file's header and the eight that give its length. */
function headerEnd(bytes: Uint8Array): number {
  return 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}

/** Mulberry32: whole numbers below `bound`. */
function random(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

/** Verify, Load and Load without a name all detect it, and none returns the damaged file. */
export async function assertNoticed(
  store: ArtifactStore,
  outputDir: string,
  { path, what }: Omit<Damage, "bytes">,
): Promise<void> {
  const file = path.slice(path.lastIndexOf("/") + 1);
  const [checked] = await store.verify(outputDir, BAD, NEVER);
  if (!checked?.damage.includes(file)) assert.fail(`${what}: verify says "${checked?.damage}"`);

  const loaded: string[] = [];
  const load = async () => {
    const pieces = store.load(outputDir, { name: BAD, runId: "", paths: [] }, NEVER);
    for await (const piece of pieces) loaded.push(piece.path);
  };
  const failure = await load().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(failure instanceof GradpoolError) || failure.code !== "data_loss" || !failure.message.includes(file)) {
    assert.fail(`${what}: loading says ${String(failure)}`);
  }
  if (loaded.includes(file)) assert.fail(`${what}: ${file} was given out`);

  for await (const piece of store.load(outputDir, { name: "", runId: "", paths: [] }, NEVER)) {
    assert.equal(piece.checkpoint, GOOD, what);
    assert.deepEqual(
      piece.damaged.map(({ name }) => name),
      [BAD],
      what,
    );
    assert.equal(new TextDecoder().decode(piece.data), "{}", what);
  }
}
