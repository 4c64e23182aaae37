import { resolve } from "node:path";

/** Prefix of addresses in an object store. */
export const OBJECT_STORE_SCHEME = "s3://";

/**
 * An output folder, or a checkpoint in one, by its full name: an absolute path; an address in an object store
 * is full already. Different spellings of one place give the same name.
 */
export function absoluteOutputDir(outputDir: string): string {
  return outputDir.startsWith(OBJECT_STORE_SCHEME) ? outputDir.replace(/\/+$/, "") : resolve(outputDir);
}
