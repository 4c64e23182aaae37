import { concat, type TokenizerRef } from "@gradpool/rpc";
import type { Files } from "./files.js";
import type { CheckpointSource } from "./resume.js";

/** The files of a tokenizer, as they go into a result. Errors: the service's. */
export function loadTokenizerFiles(
  tokenizer: TokenizerRef | undefined,
  { services, outages, signal }: CheckpointSource,
): Promise<Files> {
  const load = async () => {
    const pieces = new Map<string, Uint8Array[]>();
    for await (const { path, data } of services.tokenizer.getTokenizerFiles({ tokenizer }, { signal })) {
      pieces.set(path, [...(pieces.get(path) ?? []), data]);
    }
    return new Map([...pieces].map(([path, parts]) => [path, concat(parts)]));
  };
  return outages.waitOut("tokenizer", load, signal);
}
