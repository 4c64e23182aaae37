/** A repository of the fake hub: the files of a folder, committed. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";

export interface FakeFile {
  path: string;
  sizeBytes: number;
  /** SHA-256 if the file is in LFS, otherwise git's SHA-1 of a blob. */
  etag: string;
  /** git's SHA-1 of the content, or of a pointer to it. */
  blobId: string;
  isLfs: boolean;
  /** Its bytes from `start` to before `end`. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

export interface FakeRepoOptions {
  /** Which files are in LFS; by default weights, compressed files and Parquet. */
  isLfs?: (path: string) => boolean;
  /** "private": without access, it does not exist. "gated": without access, it can be seen, but not its files. */
  access?: "public" | "private" | "gated";
}

const IN_LFS = /\.(safetensors|bin|gz|zst|parquet|gguf)$/;

export class FakeRepo {
  readonly access: "public" | "private" | "gated";
  readonly #isLfs: (path: string) => boolean;
  /** Branches and tags, and the commit that each refers to. */
  readonly #refs = new Map<string, string>();
  readonly #commits = new Map<string, Map<string, FakeFile>>();
  /** Content that is served although different content was listed. */
  readonly #swapped = new Map<string, FakeFile>();

  constructor({ isLfs = (path) => IN_LFS.test(path), access = "public" }: FakeRepoOptions = {}) {
    this.#isLfs = isLfs;
    this.access = access;
  }

  /** Commits the folder's current content, and points `revision` to it. Returns the commit's hash. */
  async commit(folder: string, revision = "main"): Promise<string> {
    const files = new Map<string, FakeFile>();
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    for (const entry of entries.filter((one) => one.isFile())) {
      const file = join(entry.parentPath, entry.name);
      const path = relative(folder, file).replaceAll("\\", "/");
      files.set(path, await fileOf(path, (await stat(file)).size, this.#isLfs(path), diskReader(file)));
    }
    const listed = [...files.values()].map(({ path, etag }) => `${path} ${etag}`).sort();
    const commit = sha1(`${this.#commits.size}\n${listed.join("\n")}`);
    this.#commits.set(commit, files);
    this.#refs.set(revision, commit);
    return commit;
  }

  commitOf(revision: string): string | undefined {
    return this.#commits.has(revision) ? revision : this.#refs.get(revision);
  }

  /** As listed, by path. */
  filesAt(commit: string): FakeFile[] {
    return [...(this.#commits.get(commit)?.values() ?? [])].sort((one, other) => (one.path < other.path ? -1 : 1));
  }

  /** As served. */
  file(commit: string, path: string): FakeFile | undefined {
    return this.#swapped.get(path) ?? this.#commits.get(commit)?.get(path);
  }

  /** Serves other content under a path from now on, while commits and listings stay as they are. */
  async swap(path: string, content: Buffer): Promise<void> {
    this.#swapped.set(path, await fileOf(path, content.byteLength, this.#isLfs(path), memoryReader(content)));
  }
}

type Read = FakeFile["read"];

const diskReader =
  (file: string): Read =>
  (start, end) =>
    createReadStream(file, { start, end: end - 1 });

const memoryReader = (content: Buffer): Read =>
  async function* (start, end) {
    yield content.subarray(start, end);
  };

async function fileOf(path: string, sizeBytes: number, isLfs: boolean, read: Read): Promise<FakeFile> {
  const hash = isLfs ? createHash("sha256") : createHash("sha1").update(`blob ${sizeBytes}\0`);
  if (sizeBytes > 0) for await (const chunk of read(0, sizeBytes)) hash.update(chunk);
  const etag = hash.digest("hex");
  return { path, sizeBytes, etag, blobId: isLfs ? sha1(etag) : etag, isLfs, read };
}

const sha1 = (text: string) => createHash("sha1").update(text).digest("hex");
