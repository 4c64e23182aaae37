import {
  CheckpointStoreServiceService,
  service,
  startServer,
  type LoadResponse,
  type RunningServer,
} from "@gradpool/rpc";
import { grpcObserver, Registry, type Logger, type Service } from "@gradpool/service-kit";
import type { ArtifactStore, LoadedPiece } from "./artifact-store.js";
import type { CheckpointStoreConfig } from "./config.js";
import { nodeFileSystem } from "./file-system.js";
import { FolderStore } from "./folder-store.js";
import { measured } from "./measured-store.js";
import { S3Store } from "./s3-store.js";
import { saveHandler } from "./save.js";
import { storesByAddress } from "./stores-by-address.js";

/** The checkpoint-store service. */
export class CheckpointStore implements Service {
  readonly address: string;
  readonly #server: RunningServer;
  readonly #store: ArtifactStore;

  private constructor(
    readonly metrics: Registry,
    server: RunningServer,
    store: ArtifactStore,
  ) {
    this.address = server.address;
    this.#server = server;
    this.#store = store;
  }

  /** Errors: `unavailable` when the port is taken. */
  static async create(
    config: CheckpointStoreConfig,
    log: Logger,
    kept: ArtifactStore = storesFor(config, log),
  ): Promise<CheckpointStore> {
    const metrics = new Registry();
    const store = measured(kept, metrics);
    const server = await startServer({
      listen: config.listen,
      shutdownGraceMs: config.finishMs,
      services: [
        service(CheckpointStoreServiceService, {
          claim: async ({ outputDir, runId }) => ({ outputDir: await store.claim(outputDir, runId) }),
          release: async ({ outputDir, runId }) => {
            await store.release(outputDir, runId);
            return {};
          },
          save: saveHandler(store),
          load: ({ outputDir, name, runId, paths }, { signal }) =>
            loadResponses(store.load(outputDir, { name, runId, paths }, signal)),
          list: async ({ outputDir }) => ({ checkpoints: await store.list(outputDir) }),
          verify: async ({ outputDir, name }, { signal }) => ({
            checkpoints: await store.verify(outputDir, name, signal),
          }),
          delete: async ({ outputDir, name, requestId }) => {
            await store.remove(outputDir, name, requestId);
            return {};
          },
        }),
      ],
      onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
      observe: grpcObserver(metrics),
    });
    return new CheckpointStore(metrics, server, store);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.#store[Symbol.asyncDispose]();
  }
}

function storesFor({ s3 }: CheckpointStoreConfig, log: Logger): ArtifactStore {
  const now = () => new Date();
  return storesByAddress(new FolderStore(nodeFileSystem, now, log), new S3Store(s3, now, log));
}

async function* loadResponses(pieces: AsyncIterable<LoadedPiece>): AsyncGenerator<LoadResponse> {
  let first = true;
  for await (const { checkpoint, damaged, path, data } of pieces) {
    yield { name: first ? checkpoint : "", path, data, damaged: first ? [...damaged] : [] };
    first = false;
  }
}
