import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import type { WeightsHeader } from "@gradpool/models";

/** Of the files as they are: hashing gigabytes would take longer than converting them. */
export async function identityOf({
  modelHash,
  weightsDir,
  header,
}: {
  modelHash: string;
  weightsDir: string;
  header: WeightsHeader;
}): Promise<string> {
  const hash = createHash("sha256").update(modelHash);
  for (const file of [...new Set([...header.tensors.values()].map((entry) => entry.file))].sort()) {
    const path = await realpath(join(weightsDir, file));
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path);
    hash.update(["", path, dev, ino, size, mtimeMs, ctimeMs].join("|"));
  }
  return hash.digest("hex");
}
