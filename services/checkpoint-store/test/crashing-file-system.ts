import { cpSync, existsSync, renameSync, rmSync, statSync, truncateSync } from "node:fs";
import { dirname } from "node:path";
import { nodeFileSystem, type FileSystem } from "../src/file-system.js";

export class Crash extends Error {}

/**
 * The real file system until the `crashAt`-th operation that changes something: that one is cut short
 * and nothing after it happens. `loseUnsynced` then removes what a loss of power may remove: bytes of
 * files that were not synced, and entries of folders that were not.
 */
export class CrashingFileSystem implements FileSystem {
  readonly #crashAt: number;
  readonly #backup: string;
  operations = 0;
  /** Files with bytes that are not synced. */
  readonly #dirty = new Set<string>();
  /** Undoes each unsynced change of a folder, oldest first. */
  #unsynced: { folders: string[]; undo: () => void }[] = [];
  #backups = 0;

  constructor(crashAt: number, backup: string) {
    this.#crashAt = crashAt;
    this.#backup = backup;
  }

  loseUnsynced(): void {
    for (const path of this.#dirty) if (existsSync(path)) truncateSync(path, Math.floor(statSync(path).size / 2));
    for (const { undo } of this.#unsynced.reverse()) undo();
  }

  async mkdir(path: string): Promise<void> {
    this.#change();
    await nodeFileSystem.mkdir(path);
    this.#unsynced.push({ folders: [dirname(path)], undo: () => rmSync(path, { recursive: true, force: true }) });
  }

  async create(path: string) {
    this.#change();
    const file = await nodeFileSystem.create(path);
    this.#unsynced.push({ folders: [dirname(path)], undo: () => rmSync(path, { force: true }) });
    return {
      write: async (bytes: Uint8Array) => {
        this.#dirty.add(path);
        if (this.operations + 1 === this.#crashAt) await file.write(bytes.subarray(0, bytes.byteLength / 2));
        this.#change();
        await file.write(bytes);
      },
      sync: async () => {
        this.#change();
        await file.sync();
        this.#dirty.delete(path);
      },
      close: () => file.close(),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    this.#change();
    const replaced = existsSync(to) ? `${this.#backup}/${this.#backups++}` : undefined;
    if (replaced) cpSync(to, replaced, { recursive: true });
    await nodeFileSystem.rename(from, to);
    const undo = () => {
      if (existsSync(to)) renameSync(to, from);
      if (replaced) cpSync(replaced, to, { recursive: true });
    };
    this.#unsynced.push({ folders: [dirname(from), dirname(to)], undo });
  }

  async unlink(path: string): Promise<void> {
    this.#change();
    await nodeFileSystem.unlink(path);
  }

  async rmdir(path: string): Promise<void> {
    this.#change();
    await nodeFileSystem.rmdir(path);
  }

  async syncFolder(path: string): Promise<void> {
    this.#change();
    await nodeFileSystem.syncFolder(path);
    this.#unsynced = this.#unsynced.filter(({ folders }) => !folders.includes(path));
  }

  entries(path: string) {
    this.#alive();
    return nodeFileSystem.entries(path);
  }

  kind(path: string) {
    this.#alive();
    return nodeFileSystem.kind(path);
  }

  open(path: string) {
    this.#alive();
    return nodeFileSystem.open(path);
  }

  #change(): void {
    this.operations++;
    this.#alive();
  }

  #alive(): void {
    if (this.operations >= this.#crashAt) throw new Crash();
  }
}

/** The real file system, except that the `failAt`-th operation that needs space finds the disk full. */
export class FullDisk implements FileSystem {
  #failAt: number;
  #operations = 0;
  hasFailed = false;

  constructor(failAt: number) {
    this.#failAt = failAt;
  }

  makeRoom(): void {
    this.#failAt = 0;
  }

  async mkdir(path: string): Promise<void> {
    this.#takeSpace();
    await nodeFileSystem.mkdir(path);
  }

  async create(path: string) {
    this.#takeSpace();
    const file = await nodeFileSystem.create(path);
    return {
      write: async (bytes: Uint8Array) => {
        if (this.#operations + 1 === this.#failAt) await file.write(bytes.subarray(0, bytes.byteLength / 2));
        this.#takeSpace();
        await file.write(bytes);
      },
      sync: async () => {
        this.#takeSpace();
        await file.sync();
      },
      close: () => file.close(),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    this.#takeSpace();
    await nodeFileSystem.rename(from, to);
  }

  async syncFolder(path: string): Promise<void> {
    this.#takeSpace();
    await nodeFileSystem.syncFolder(path);
  }

  readonly unlink = nodeFileSystem.unlink;
  readonly rmdir = nodeFileSystem.rmdir;
  readonly entries = nodeFileSystem.entries;
  readonly kind = nodeFileSystem.kind;
  readonly open = nodeFileSystem.open;

  #takeSpace(): void {
    this.#operations++;
    if (this.#operations !== this.#failAt) return;
    this.hasFailed = true;
    throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
  }
}
