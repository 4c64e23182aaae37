/** Which files of a model's repository are needed, and no others: no code, no weights of other frameworks. */
import { GradpoolError } from "@gradpool/errors";
import { z } from "zod";
import type { DownloadOptions, Hub } from "./hub.js";
import { collect } from "./hub-client.js";
import { INDEX_BYTES } from "./limits.js";
import type { RepoFile, RepoListing } from "./repo-files.js";
import { repoLabel, type Repo } from "./repo-name.js";

const CONFIG = "config.json";

/** Beside the weights, where there: settings and tokenizer. */
const SMALL_FILES = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "additional_chat_templates/tool_use.jinja",
  "chat_template.json",
];

/** In transformers' order. An index names the files that the weights are spread over. */
const WEIGHTS = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
];

const weightIndex = z.object({ weight_map: z.record(z.string(), z.string()) });

export interface DownloadedModel {
  /** As save_pretrained writes it, of links into the cache. */
  folder: string;
  commit: string;
  /** Why the hub was not asked, where only the cache was used. */
  fromCache?: string;
}

/**
 * Downloads what a model needs: config.json, tokenizer, generation_config.json and weights, safetensors before
 * pytorch_model.bin. Errors: `not_found` for a repository without config.json or weights; as Hub.list and download.
 */
export async function downloadModel(hub: Hub, repo: Repo, options: DownloadOptions): Promise<DownloadedModel> {
  const listing = await hub.list(repo, options.signal);
  const byPath = new Map(listing.files.map((file) => [file.path, file]));
  const [config, weights] = [byPath.get(CONFIG), WEIGHTS.flatMap((path) => byPath.get(path) ?? [])[0]];
  if (!config) throw lacks(listing, CONFIG);
  if (!weights) throw lacks(listing, WEIGHTS.join(", "));
  const files = [config, ...SMALL_FILES.flatMap((path) => byPath.get(path) ?? []), weights];
  if (weights.path.endsWith(".index.json")) {
    for (const path of await shardsOf(hub, listing, weights, options.signal)) {
      const shard = byPath.get(path);
      if (!shard) throw lacks(listing, `${path}, which ${weights.path} names`);
      files.push(shard);
    }
  }
  const folder = await hub.download(listing, files, options);
  const { commit, fromCache } = listing;
  return { folder, commit, ...(fromCache === undefined ? {} : { fromCache }) };
}

/** Paths of the files that a weight index names, each once. */
async function shardsOf(hub: Hub, listing: RepoListing, index: RepoFile, signal: AbortSignal): Promise<string[]> {
  const source = await hub.byteSource(listing, index);
  const bytes = await collect(source.read({ start: 0, signal }), INDEX_BYTES, { repo: listing.repo, path: index.path });
  try {
    const { weight_map: weightMap } = weightIndex.parse(JSON.parse(bytes.toString("utf8")));
    return [...new Set(Object.values(weightMap))].sort();
  } catch (cause) {
    const message = `${index.path} of ${repoLabel(listing.repo)} is not a weight index; use another model or revision`;
    throw new GradpoolError("data_loss", message, { cause });
  }
}

function lacks({ repo, fromCache }: RepoListing, what: string): GradpoolError {
  const advice =
    fromCache === undefined
      ? "use another model or revision"
      : `download it while the hub can be reached: ${fromCache}`;
  return new GradpoolError("not_found", `${repoLabel(repo)} has none of: ${what}; ${advice}`);
}
