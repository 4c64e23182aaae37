import type { ArtifactStore } from "./artifact-store.js";
import { isS3Url } from "./s3/address.js";

/** Combines two stores: object store addresses go to `objects`, paths to `folders`. */
export function storesByAddress(folders: ArtifactStore, objects: ArtifactStore): ArtifactStore {
  const of = (outputDir: string) => (isS3Url(outputDir) ? objects : folders);
  return {
    claim: (outputDir, runId, keepResult) => of(outputDir).claim(outputDir, runId, keepResult),
    release: (outputDir, runId) => of(outputDir).release(outputDir, runId),
    save: (header, data, signal) => of(header.outputDir).save(header, data, signal),
    load: (outputDir, selection, signal) => of(outputDir).load(outputDir, selection, signal),
    list: (outputDir) => of(outputDir).list(outputDir),
    verify: (outputDir, name, signal) => of(outputDir).verify(outputDir, name, signal),
    remove: (outputDir, name, requestId) => of(outputDir).remove(outputDir, name, requestId),
    async [Symbol.asyncDispose]() {
      await folders[Symbol.asyncDispose]();
      await objects[Symbol.asyncDispose]();
    },
  };
}
