import { checkInRoots, type Roots } from "@gradpool/access";
import type { ArtifactStore } from "./artifact-store.js";
import { checkOutputDir } from "./names.js";
import { isS3Url } from "./s3/address.js";

/**
 * Combines two stores: object store addresses go to `objects`, paths to `folders`; and nothing leaves `roots`. Errors
 * besides theirs: those of checkInRoots.
 */
export function storesByAddress(folders: ArtifactStore, objects: ArtifactStore, roots?: Roots): ArtifactStore {
  const of = async (outputDir: string) => {
    const isObject = isS3Url(outputDir);
    await checkInRoots(isObject ? outputDir : checkOutputDir(outputDir), roots, "output_dir");
    return isObject ? objects : folders;
  };
  return {
    claim: async (outputDir, claimant, keepResult) => (await of(outputDir)).claim(outputDir, claimant, keepResult),
    release: async (outputDir, claimant) => (await of(outputDir)).release(outputDir, claimant),
    save: async (header, data, signal) => (await of(header.outputDir)).save(header, data, signal),
    async *load(outputDir, selection, signal) {
      yield* (await of(outputDir)).load(outputDir, selection, signal);
    },
    list: async (outputDir) => (await of(outputDir)).list(outputDir),
    verify: async (outputDir, name, signal) => (await of(outputDir)).verify(outputDir, name, signal),
    remove: async (outputDir, name, requestId, claimant) =>
      (await of(outputDir)).remove(outputDir, name, requestId, claimant),
    async [Symbol.asyncDispose]() {
      await folders[Symbol.asyncDispose]();
      await objects[Symbol.asyncDispose]();
    },
  };
}
