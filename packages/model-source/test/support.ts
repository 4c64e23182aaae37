import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { openModel } from "@gradpool/model-source";

/** A small GPT-2 with its tokenizer. */
export const GOLDEN_MODEL = fileURLToPath(
  new URL("../../../../integration-tests/fixtures/golden/gpt2-plain/model", import.meta.url),
);

/** The model is refused with this code, in one line. */
export async function refuses(modelId: string, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(openModel(modelId), (error: unknown) => {
    assert.ok(error instanceof GradpoolError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}
