import { readdir, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { glob } from "tinyglobby";
import { isMissing, unreadable, type ByteSource, type OpenLocal, type SourceResolver } from "./byte-source.js";
import { isSearchedFor, readingOf, SUPPORTED_FORMATS } from "./formats.js";
import { documentReader, isBinary } from "./readers/document.js";
import type { SourceFile } from "./readers/reader.js";
import { SYNTHETIC_SOURCE } from "./readers/synthetic.js";

/** Folders that a search does not enter, besides hidden ones; a glob that names one does. */
const SKIPPED_FOLDERS = ["node_modules", "dist"];

const GLOB_CHARACTERS = /[*?[\]{}()!]/;

/** The default, without sources other than this machine's files. */
export const localOnly: SourceResolver = async () => undefined;

/**
 * The files of each source, in the order given; those of a folder or glob sorted by the bytes of their paths.
 * `elsewhere` is asked first; `open` opens this machine's files. Errors: `not_found` for a source without files, `invalid_argument` for one that
 * cannot be read as text; those of `elsewhere` and `open`.
 */
export async function resolveSources(
  sources: readonly string[],
  elsewhere: SourceResolver,
  open: OpenLocal,
  signal: AbortSignal,
): Promise<SourceFile[][]> {
  if (sources.length === 0) {
    throw new GradpoolError("invalid_argument", "no data set is given; name files, folders, globs or synthetic");
  }
  const files: SourceFile[][] = [];
  for (const source of sources) {
    signal.throwIfAborted();
    const found = await elsewhere(source, signal);
    files.push(found ? foundElsewhere(source, found) : await resolveSource(source, open, signal));
  }
  return files;
}

function foundElsewhere(source: string, found: readonly ByteSource[]): SourceFile[] {
  if (found.length === 0) throw new GradpoolError("not_found", `${source} has no files; name another source`);
  return found.map((file) => {
    const read = sourceFile(file);
    if (read === undefined) throw unsupported(file.name);
    return read;
  });
}

async function resolveSource(source: string, open: OpenLocal, signal: AbortSignal): Promise<SourceFile[]> {
  if (source === "synthetic") return [SYNTHETIC_SOURCE];
  const found = await stat(source).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw unreadable(source, error);
  });
  if (found?.isDirectory()) return folderFiles(source, open, signal);
  if (found?.isFile()) return [await namedFile(source, open, signal)];
  if (found)
    throw new GradpoolError("invalid_argument", `${source} is neither a file nor a folder; name a regular file`);
  if (source !== "" && GLOB_CHARACTERS.test(source)) return globFiles(source, open, signal);
  const from = isAbsolute(source) ? "" : ` (looked in ${process.cwd()})`;
  throw new GradpoolError("not_found", `no file or folder ${JSON.stringify(source)}${from}; check the data set's path`);
}

/** A file that the user names is read whatever its extension, as long as it is text. */
async function namedFile(path: string, open: OpenLocal, signal: AbortSignal): Promise<SourceFile> {
  const file = await localSourceFile(path, open);
  if (file === undefined) throw unsupported(path);
  if (file.reader !== documentReader || !(await isBinary(file, signal))) return file;
  throw new GradpoolError("invalid_argument", `${path} is a binary file; a data set needs text`);
}

function unsupported(name: string): GradpoolError {
  const advice = `convert it to one of ${SUPPORTED_FORMATS}`;
  return new GradpoolError("invalid_argument", `${name}: files of this kind are not supported; ${advice}`);
}

async function folderFiles(folder: string, open: OpenLocal, signal: AbortSignal): Promise<SourceFile[]> {
  const files = await describeFiles(await walk(folder, signal), open, signal);
  if (files.length > 0) return files;
  throw new GradpoolError("not_found", `${folder} has no source or text files; name another folder, or the files`);
}

/** Paths of a folder's source and text files. Linked files count, linked folders are not entered. */
async function walk(folder: string, signal: AbortSignal): Promise<string[]> {
  const paths: string[] = [];
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    signal.throwIfAborted();
    const entries = await readdir(next, { withFileTypes: true }).catch((error: unknown) => {
      throw unreadable(next, error);
    });
    for (const entry of entries) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) {
        if (!entry.name.startsWith(".") && !SKIPPED_FOLDERS.includes(entry.name)) folders.push(path);
      } else if ((entry.isFile() || entry.isSymbolicLink()) && isSearchedFor(path)) {
        paths.push(path);
      }
    }
  }
  return paths;
}

async function globFiles(pattern: string, open: OpenLocal, signal: AbortSignal): Promise<SourceFile[]> {
  // The search begins after the folders that are spelled out, which may be hidden or anywhere.
  const segments = pattern.split("/");
  const literal = segments.findIndex((segment) => GLOB_CHARACTERS.test(segment));
  const base = segments.slice(0, literal).join("/") || (literal > 0 ? "/" : ".");
  const ignore = SKIPPED_FOLDERS.filter((folder) => !segments.includes(folder)).map((folder) => `**/${folder}/**`);
  const options = { cwd: base, ignore, expandDirectories: false, followSymbolicLinks: false, signal };
  const found = await glob(segments.slice(literal).join("/"), options);
  const paths = found.map((path) => join(base, path));
  const files = await describeFiles(paths, open, signal);
  if (files.length > 0) return files;
  if (paths[0] !== undefined) throw unsupported(paths[0]);
  throw new GradpoolError("not_found", `no file matches ${JSON.stringify(pattern)}; check the data set's glob`);
}

/** Sorted; what is not a regular file, or of an unsupported kind, is left out. */
async function describeFiles(paths: string[], open: OpenLocal, signal: AbortSignal): Promise<SourceFile[]> {
  const sorted = paths.map((path) => ({ path, bytes: Buffer.from(path) }));
  sorted.sort((one, other) => Buffer.compare(one.bytes, other.bytes));
  const files: SourceFile[] = [];
  for (const { path } of sorted) {
    signal.throwIfAborted();
    const file = await localSourceFile(path, open).catch((error: unknown) => {
      // A broken link.
      if (error instanceof GradpoolError && isMissing(error.cause)) return undefined;
      throw error;
    });
    if (file) files.push(file);
  }
  return files;
}

async function localSourceFile(path: string, open: OpenLocal): Promise<SourceFile | undefined> {
  if (readingOf(path) === undefined) return undefined;
  const source = await open(path);
  return source && sourceFile(source);
}

function sourceFile(source: ByteSource): SourceFile | undefined {
  const reading = readingOf(source.name);
  return reading && { name: source.name, source, ...reading };
}
