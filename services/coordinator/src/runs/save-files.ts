import {
  chunks,
  type CheckpointStoreServiceService,
  type Client,
  type SaveHeader,
  type SaveRequest,
  type SaveResponse,
} from "@gradpool/rpc";
import type { Files } from "./files.js";

/** Saves files under one header, all or nothing. Errors: those of CheckpointStoreService.Save. */
export function saveFiles(
  store: Client<CheckpointStoreServiceService>,
  header: Omit<SaveHeader, "files">,
  files: Files,
  signal: AbortSignal,
): Promise<SaveResponse> {
  const list = [...files].map(([path, { byteLength }]) => ({ path, sizeBytes: byteLength }));
  const messages = async function* (): AsyncGenerator<SaveRequest> {
    yield { message: { $case: "header", value: { ...header, files: list } } };
    for (const content of files.values()) {
      for (const data of chunks(content)) yield { message: { $case: "data", value: data } };
    }
  };
  return store.save(messages(), { signal });
}
