import { GradpoolError } from "@gradpool/errors";
import {
  type CallContext,
  chunks,
  type DecodeRequest,
  type DecodeResponse,
  type GetTokenizerFilesRequest,
  type GetTokenizerFilesResponse,
  type GetTokenizerRequest,
  type GetTokenizerResponse,
} from "@gradpool/rpc";
import type { ModelFolders } from "./model-folders.js";
import { keyOf } from "./tokenizer-key.js";
import type { WorkerPool } from "./worker-pool.js";

/** TokenizerService.GetTokenizer. */
export function getTokenizerHandler(pool: WorkerPool, models: ModelFolders) {
  return async ({ tokenizer }: GetTokenizerRequest, { signal }: CallContext): Promise<GetTokenizerResponse> => {
    const hash = tokenizer?.tokenizerHash ?? "";
    const { info } = await pool.run(await keyOf(tokenizer, models, signal), hash, { kind: "describe" }, signal);
    const { hash: tokenizerHash, ...rest } = info;
    return { info: { tokenizerHash, ...rest } };
  };
}

/** TokenizerService.Decode. */
export function decodeHandler(pool: WorkerPool, models: ModelFolders) {
  return async (request: DecodeRequest, { signal }: CallContext): Promise<DecodeResponse> => {
    const { tokenizer, ids: bytes, skipSpecialTokens } = request;
    if (bytes.byteLength % 4 !== 0) {
      const message = `ids has ${bytes.byteLength} bytes, not a multiple of 4; send int32 little-endian`;
      throw new GradpoolError("invalid_argument", message);
    }
    const ids = new Int32Array(new Uint8Array(bytes).buffer);
    const key = await keyOf(tokenizer, models, signal);
    const text = await pool.run(
      key,
      tokenizer?.tokenizerHash ?? "",
      { kind: "decode", ids, skipSpecialTokens },
      signal,
    );
    return { text };
  };
}

/** TokenizerService.GetTokenizerFiles. */
export function getTokenizerFilesHandler(pool: WorkerPool, models: ModelFolders) {
  return async function* getTokenizerFiles(
    { tokenizer }: GetTokenizerFilesRequest,
    { signal }: CallContext,
  ): AsyncGenerator<GetTokenizerFilesResponse> {
    const files = await pool.run(
      await keyOf(tokenizer, models, signal),
      tokenizer?.tokenizerHash ?? "",
      { kind: "files" },
      signal,
    );
    for (const [path, bytes] of files) {
      if (bytes.byteLength === 0) yield { path, data: bytes };
      for (const data of chunks(bytes)) yield { path, data };
    }
  };
}
