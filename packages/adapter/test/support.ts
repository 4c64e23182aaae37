import { readFileSync } from "node:fs";
import { GradpoolError } from "@gradpool/errors";

const GOLDEN = new URL("../../../../integration-tests/fixtures/golden/", import.meta.url);

export function golden(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(path, GOLDEN)));
}

export function goldenConfig(path: string): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(golden(path))) as Record<string, unknown>;
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
