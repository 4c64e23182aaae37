import { readFileSync } from "node:fs";
import { GradpoolError } from "@gradpool/errors";

/** The repository's root, from dist/test. */
export const ROOT = new URL("../../../../", import.meta.url);

export function bytesOf(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(path, ROOT)));
}

export const EVERY_DTYPE = "packages/safetensors/test/fixtures/every_dtype.safetensors";
export const ADAPTERS = ["gpt2-plain", "gpt2-codeparrot"].flatMap((name) =>
  ["init", "final"].map(
    (which) => `integration-tests/fixtures/golden/${name}/${which}_adapter/adapter_model.safetensors`,
  ),
);

/** A file from its header's text and a number of bytes after it. */
export function fileOf(header: string | Uint8Array, dataBytes: number, claimedLength?: bigint): Uint8Array {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, claimedLength ?? BigInt(json.byteLength), true);
  file.set(json, 8);
  return file;
}

/** Matcher for assert.throws. */
export function failure(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof GradpoolError)) return false;
    if (error.code !== code || !text.test(error.message) || error.message.includes("\n")) {
      throw new Error(`unexpected ${error.code}: ${error.message}`);
    }
    return true;
  };
}
