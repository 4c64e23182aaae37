/**
 * Counts of data sets, kept between calls and processes: one small file each, named by the hash of what the count
 * depends on. So the same data need not be read twice. If a count cannot be written or read, the data is just counted
 * again.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DatasetCount, DatasetPlace } from "@gradpool/data";

/** At most this many are kept, plus those other processes add at the same moment. */
const MAX_COUNTS = 1_000;
const SUFFIX = ".json";

export class Counts {
  /** `dir` is created when first needed. */
  constructor(private readonly dir: string) {}

  async find(key: string): Promise<DatasetCount | undefined> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(this.#pathOf(key), "utf8"));
    } catch {
      return undefined;
    }
    const { rows, tokens, blocks, bytesRead, end } = (value ?? {}) as Record<keyof DatasetCount, unknown>;
    if (!isCount(rows) || !isCount(tokens) || !isCount(blocks) || !isCount(bytesRead)) return undefined;
    return isPlace(end) ? { rows, tokens, blocks, bytesRead, end } : undefined;
  }

  async keep(key: string, count: DatasetCount): Promise<void> {
    const path = this.#pathOf(key);
    const partial = `${path}.${randomUUID()}`;
    try {
      await mkdir(this.dir, { recursive: true });
      await writeFile(partial, JSON.stringify(count));
      await rename(partial, path);
      await this.#removeOldest();
    } catch {
      await rm(partial, { force: true }).catch(() => undefined);
    }
  }

  async #removeOldest(): Promise<void> {
    const names = await readdir(this.dir);
    if (names.length <= MAX_COUNTS) return;
    const ages = await Promise.all(
      names.map(async (name) => ({ path: join(this.dir, name), timeMs: (await stat(join(this.dir, name))).mtimeMs })),
    );
    ages.sort((a, b) => a.timeMs - b.timeMs);
    for (const { path } of ages.slice(0, names.length - MAX_COUNTS)) await rm(path, { force: true });
  }

  #pathOf(key: string): string {
    return join(this.dir, `${createHash("sha256").update(key).digest("hex")}${SUFFIX}`);
  }
}

const isPlace = (value: unknown): value is DatasetPlace =>
  Array.isArray(value) &&
  value.every((place) => [place?.file, place?.byteOffset, place?.innerOffset, place?.line].every(isCount));

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
