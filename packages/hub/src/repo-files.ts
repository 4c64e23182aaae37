/** The files of a repository at one commit. */
import { GradpoolError } from "@gradpool/errors";
import { z } from "zod";
import type { HubClient } from "./hub-client.js";
import { LISTED_FILES, PATH_CHARACTERS } from "./limits.js";
import { repoLabel, type Repo } from "./repo-name.js";

export interface RepoFile {
  /** Relative, with "/". */
  path: string;
  sizeBytes: number;
  /** The git blob's SHA-1 (hex): of the content, or of the pointer to it if it is in LFS. */
  blobId: string;
  /** SHA-256 (hex) of the content of a file in LFS. */
  lfsSha256?: string;
  /** Where Python's client finds it in chunks; carried for its sake. */
  xetHash?: string;
}

export interface RepoListing {
  repo: Repo;
  /** 40 hex digits. */
  commit: string;
  files: readonly RepoFile[];
  /** Why the hub was not asked, where this was found in the cache instead. */
  fromCache?: string;
}

/** What the hub calls the content, and the cache its blob. */
export const etagOf = ({ lfsSha256, blobId }: RepoFile): string => lfsSha256 ?? blobId;

export const COMMIT = /^[0-9a-f]{40}$/;
export const SHA256 = /^[0-9a-f]{64}$/;

const revisionAnswer = z.object({ sha: z.string().regex(COMMIT) });

const treeAnswer = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    oid: z.string(),
    size: z.number().optional(),
    lfs: z.object({ oid: z.string(), size: z.number() }).nullish(),
    xetHash: z.string().nullish(),
  }),
);

const apiPath = ({ type, id }: Repo) => `/api/${type}s/${id}`;

/** The commit of a revision. Errors: those of HubClient.json. */
export async function commitOf(client: HubClient, repo: Repo, signal: AbortSignal): Promise<string> {
  const path = `${apiPath(repo)}/revision/${encodeURIComponent(repo.revision)}`;
  const { value } = await client.json(revisionAnswer, path, { repo }, signal);
  return value.sha;
}

/** All files at a commit, page by page. Errors: those of HubClient.json; `resource_exhausted` beyond LISTED_FILES. */
export async function filesAt(client: HubClient, repo: Repo, commit: string, signal: AbortSignal): Promise<RepoFile[]> {
  const files: RepoFile[] = [];
  const tree = `${apiPath(repo)}/tree/${commit}`;
  let query: string | undefined = "?recursive=true&expand=false";
  while (query !== undefined) {
    const page: { value: z.infer<typeof treeAnswer>; nextQuery?: string } = await client.json(
      treeAnswer,
      tree + query,
      { repo },
      signal,
    );
    for (const entry of page.value) if (entry.type === "file") files.push(checkedFile(repo, entry));
    if (files.length > LISTED_FILES) {
      const message = `${repoLabel(repo)} has more than ${LISTED_FILES} files; use a repository with fewer, larger ones`;
      throw new GradpoolError("resource_exhausted", message);
    }
    // Pages that repeat, or have no files, would never end.
    if (page.nextQuery !== undefined && (page.value.length === 0 || page.nextQuery === query)) {
      throw strange(repo, "lists its files endlessly");
    }
    query = page.nextQuery;
  }
  return files;
}

function checkedFile(repo: Repo, { path, oid, size, lfs, xetHash }: z.infer<typeof treeAnswer>[number]): RepoFile {
  const sizeBytes = lfs ? lfs.size : size;
  const whole = sizeBytes !== undefined && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0;
  if (!isSafePath(path)) throw strange(repo, `names a file ${JSON.stringify(path.slice(0, 80))}`);
  if (!whole || !COMMIT.test(oid) || (lfs && !SHA256.test(lfs.oid))) {
    throw strange(repo, `does not say size and hash of ${path}`);
  }
  return {
    path,
    sizeBytes,
    blobId: oid,
    ...(lfs ? { lfsSha256: lfs.oid } : {}),
    ...(xetHash && SHA256.test(xetHash) ? { xetHash } : {}),
  };
}

/** Whether a path stays in the folder it is joined to, on every system. */
export function isSafePath(path: string): boolean {
  if (path.length > PATH_CHARACTERS || /[\\\x00-\x1f]/.test(path) || /^[A-Za-z]:/.test(path)) return false;
  return path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}

function strange(repo: Repo, what: string): GradpoolError {
  return new GradpoolError("data_loss", `the hub's listing of ${repoLabel(repo)} ${what}; check HF_ENDPOINT`);
}
