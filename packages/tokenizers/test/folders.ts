import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
export const FIXTURES = join(ROOT, "packages/tokenizers/test/fixtures");
export const TINY_CODER = join(ROOT, "models/tiny-coder");
export const PLAIN = join(ROOT, "integration-tests/fixtures/golden/gpt2-plain/model");

/** A copy of a tokenizer's folder, without weights, to be changed. Give it to `rm` when done. */
async function copyOf(folder: string, without: string[] = []): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "tokenizers-"));
  const filter = (path: string) => !path.endsWith(".safetensors") && !without.includes(basename(path));
  await cp(folder, dir, { recursive: true, filter });
  return dir;
}

/** Runs `use` on such a copy, and removes it. */
export async function withCopy<T>(folder: string, without: string[], use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await copyOf(folder, without);
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

export type JsonObject = Record<string, unknown>;

/** Changes a JSON file. */
export async function edit(dir: string, name: string, change: (root: JsonObject) => void): Promise<void> {
  const path = join(dir, name);
  const root = JSON.parse(await readFile(path, "utf8")) as JsonObject;
  change(root);
  await writeFile(path, JSON.stringify(root));
}
