/** What names a repository on the hub, and what names a file or folder of this machine. */
import { stat } from "node:fs/promises";
import { GradpoolError } from "@gradpool/errors";

export type RepoType = "model" | "dataset";

/** A repository of the hub, at a branch, tag or commit. */
export interface Repo {
  type: RepoType;
  /** "org/name", or "name" alone for the hub's oldest ones. */
  id: string;
  revision: string;
}

/** A name as the user gives it. */
export interface RepoName extends Repo {
  /** What follows the name in hf://datasets/org/name/PATTERN. */
  pattern?: string;
}

export const DEFAULT_REVISION = "main";

/** Data sets that need no organisation before their name. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([["codeparrot", "codeparrot/codeparrot-clean"]]);

/** A name with this ending is a file's, whether the file exists or not. */
const FILE_ENDING = /\.(json|jsonl|ndjson|csv|tsv|txt|parquet|arrow|gz|zst|zip|bin|pt|gguf|safetensors|py|md)$/i;

/** Revisions with a slash, which hf:// names hold as they are. */
const SLASHED_REVISION = /^(refs\/(?:convert|pr)\/[\w.-]+)(?:\/(.*))?$/s;

/**
 * Reads "org/name", "org/name@revision", "name", "hf://org/name" or "hf://datasets/org/name@revision/pattern";
 * undefined for what can only be a path. Errors: `invalid_argument` for an invalid hf:// name.
 */
export function parseRepoName(name: string, type: RepoType): RepoName | undefined {
  const explicit = /^hf:\/\/(.*)$/s.exec(name)?.[1];
  const parsed = explicit === undefined ? parseBare(name, type) : parseExplicit(explicit, type);
  if (explicit !== undefined && !parsed) {
    const example = type === "model" ? "hf://org/name" : "hf://datasets/org/name@revision/data/*.parquet";
    throw new GradpoolError(
      "invalid_argument",
      `${name} is not the name of a ${type} on the hub; write it like ${example}`,
    );
  }
  return parsed;
}

/** As parseRepoName, but a file or folder of this name wins: undefined then, too. */
export async function hubRepo(name: string, type: RepoType): Promise<RepoName | undefined> {
  const parsed = parseRepoName(name, type);
  if (!parsed || name.startsWith("hf://")) return parsed;
  const exists = await stat(name).then(
    () => true,
    () => false,
  );
  return exists ? undefined : parsed;
}

/** For messages: the name as the user gives it. */
export const repoLabel = ({ id, revision }: Repo): string => (revision === DEFAULT_REVISION ? id : `${id}@${revision}`);

function parseBare(name: string, type: RepoType): RepoName | undefined {
  const at = name.indexOf("@");
  const id = at < 0 ? name : name.slice(0, at);
  const revision = at < 0 ? DEFAULT_REVISION : name.slice(at + 1);
  if (!isRepoId(id) || !isRevision(revision) || FILE_ENDING.test(id)) return undefined;
  return { type, id: longId(id, type), revision };
}

function parseExplicit(name: string, type: RepoType): RepoName | undefined {
  const path = type === "dataset" ? /^datasets\/(.*)$/s.exec(name)?.[1] : name;
  const parts = /^([^/@]+(?:\/[^/@]+)?)(?:@([^/]+(?=\/|$)))?(?:\/(.*))?$/s.exec(path ?? "");
  const [, id = "", quoted, rest] = parts ?? [];
  let revision = quoted === undefined ? DEFAULT_REVISION : decode(quoted);
  let pattern = rest;
  const slashed = quoted === "refs" ? SLASHED_REVISION.exec(`refs/${rest ?? ""}`) : undefined;
  if (slashed) [, revision = "", pattern] = slashed;
  if (!isRepoId(id) || !isRevision(revision)) return undefined;
  if (type === "model" && pattern) return undefined;
  return { type, id: longId(id, type), revision, ...(pattern ? { pattern } : {}) };
}

const longId = (id: string, type: RepoType) => (type === "dataset" && SHORT_NAMES.get(id)) || id;

function decode(quoted: string): string {
  try {
    return decodeURIComponent(quoted);
  } catch {
    return "";
  }
}

/** The hub's own rule for names. */
function isRepoId(id: string): boolean {
  const segment = "[A-Za-z0-9_](?:[\\w.-]{0,94}[A-Za-z0-9_])?";
  return new RegExp(`^(?:${segment}/)?${segment}$`).test(id) && !/--|\.\.|\.git$/.test(id);
}

/** Names a file below refs/ in the cache, so it may not lead out of there. */
function isRevision(revision: string): boolean {
  return revision.length <= 256 && /^\w[\w.+-]*(\/\w[\w.+-]*)*$/.test(revision) && !revision.includes("..");
}
