import { CheckpointStoreServiceService, service, type Handlers, type LoadResponse } from "@gradpool/rpc";
import { serve, type Access, type Logger, type Service } from "@gradpool/service-kit";
import type { ArtifactStore, LoadedPiece } from "./artifact-store.js";
import type { CheckpointStoreConfig } from "./config.js";
import { nodeFileSystem } from "./file-system.js";
import { LocalFolders } from "./local-folders.js";
import { measured } from "./measured-store.js";
import type { OutputFolders } from "./output-folders.js";
import { OutputStore } from "./output-store.js";
import { S3Folders } from "./s3/folders.js";
import { saveHandler } from "./save.js";
import { storesByAddress } from "./stores-by-address.js";

/** Starts the checkpoint-store service on `kept`, or else where the config says. Errors: those of serve. */
export function startCheckpointStore(
  config: CheckpointStoreConfig,
  log: Logger,
  access: Access,
  kept: ArtifactStore = storesFor(config, log, access.roots),
): Promise<Service> {
  return serve({ listen: config.listen, log, access, shutdownGraceMs: config.finishMs }, ({ metrics, own }) => {
    const store = own(measured(kept, metrics));
    return { services: [service(CheckpointStoreServiceService, handlersOf(store))] };
  });
}

function handlersOf(store: ArtifactStore): Handlers<CheckpointStoreServiceService> {
  return {
    claim: async ({ outputDir, keepResult, ...claimant }) => ({
      outputDir: await store.claim(outputDir, claimant, keepResult),
    }),
    release: async ({ outputDir, ...claimant }) => {
      await store.release(outputDir, claimant);
      return {};
    },
    save: saveHandler(store),
    load: ({ outputDir, name, runId, paths }, { signal }) =>
      loadResponses(store.load(outputDir, { name, runId, paths }, signal)),
    list: async ({ outputDir }) => ({ checkpoints: await store.list(outputDir) }),
    verify: async ({ outputDir, name }, { signal }) => ({ checkpoints: await store.verify(outputDir, name, signal) }),
    delete: async ({ outputDir, name, requestId, runId, ownerEpoch }) => {
      await store.remove(outputDir, name, requestId, runId === undefined ? undefined : { runId, ownerEpoch });
      return {};
    },
  };
}

function storesFor({ s3 }: CheckpointStoreConfig, log: Logger, roots: Access["roots"]): ArtifactStore {
  const over = (folders: OutputFolders) => new OutputStore(folders, () => new Date(), log);
  return storesByAddress(over(new LocalFolders(nodeFileSystem)), over(new S3Folders(s3)), roots);
}

async function* loadResponses(pieces: AsyncIterable<LoadedPiece>): AsyncGenerator<LoadResponse> {
  let first = true;
  for await (const { checkpoint, damaged, path, data } of pieces) {
    yield { name: first ? checkpoint : "", path, data, damaged: first ? [...damaged] : [] };
    first = false;
  }
}
