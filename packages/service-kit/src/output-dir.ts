import { resolve } from "node:path";

/** Of addresses in an object store. */
export const OBJECT_STORE_SCHEME = "s3://";

/**
 * An output folder, or a checkpoint in one, by its full name: a path from the root on; an address in an object store
 * is full already. Two spellings of one place give one name.
 */
export function absoluteOutputDir(outputDir: string): string {
  return outputDir.startsWith(OBJECT_STORE_SCHEME) ? outputDir.replace(/\/+$/, "") : resolve(outputDir);
}
