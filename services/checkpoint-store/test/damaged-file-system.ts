import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { EntryKind, FileSystem } from "../src/file-system.js";

/**
 * A saved folder as it is on disk, read once, in which the content of one file at a time is replaced.
 * To the store it is a disk, without the cost of one for tens of thousands of damages. Nothing can be written.
 */
export class DamagedFileSystem implements FileSystem {
  readonly #files = new Map<string, Uint8Array>();
  readonly #folders = new Map<string, string[]>();
  #damaged: { path: string; bytes: Uint8Array } | undefined;

  constructor(folder: string) {
    this.#read(folder);
  }

  #read(path: string): void {
    if (!statSync(path).isDirectory()) return void this.#files.set(path, readFileSync(path));
    this.#folders.set(path, readdirSync(path));
    for (const entry of readdirSync(path)) this.#read(join(path, entry));
  }

  /** As it was saved. */
  original(path: string): Uint8Array {
    const bytes = this.#files.get(path);
    if (!bytes) throw new Error(`nothing was saved at ${path}`);
    return bytes;
  }

  /** From now on `path` has this content, and all other files their own. */
  damage(path: string, bytes: Uint8Array): void {
    this.#damaged = { path, bytes };
  }

  entries(path: string) {
    const entries = this.#folders.get(path);
    return entries ? Promise.resolve(entries) : Promise.reject(new Error(`no folder ${path}`));
  }

  kind(path: string): Promise<EntryKind | undefined> {
    const kind = this.#files.has(path) ? "file" : this.#folders.has(path) ? "folder" : undefined;
    return Promise.resolve(kind);
  }

  open(path: string) {
    const bytes = this.#damaged?.path === path ? this.#damaged.bytes : this.original(path);
    return Promise.resolve({
      sizeBytes: bytes.byteLength,
      read: (buffer: Uint8Array, position: number) => {
        const piece = bytes.subarray(position, position + buffer.byteLength);
        buffer.set(piece);
        return Promise.resolve(piece.byteLength);
      },
      close: () => Promise.resolve(),
    });
  }

  readonly mkdir = refuse;
  readonly create = refuse;
  readonly rename = refuse;
  readonly unlink = refuse;
  readonly rmdir = refuse;
  readonly syncFolder = refuse;
}

function refuse(): Promise<never> {
  return Promise.reject(new Error("readers write nothing"));
}
