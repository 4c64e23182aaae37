import type { ModelPlaces } from "@gradpool/model-source";
import {
  CheckpointStoreServiceService,
  createClient,
  DataStreamServiceService,
  TokenizerServiceService,
  type Client,
} from "@gradpool/rpc";
import type { CoordinatorConfig } from "./config.js";

/** What a run needs: services, and a folder. */
export interface Services {
  tokenizer: Client<TokenizerServiceService>;
  dataStream: Client<DataStreamServiceService>;
  checkpointStore: Client<CheckpointStoreServiceService>;
  /** Absolute folder for converted models. */
  models: ModelPlaces;
  close(): void;
}

export function connectServices(config: CoordinatorConfig): Services {
  const tokenizer = createClient(TokenizerServiceService, config.tokenizerAddress);
  const dataStream = createClient(DataStreamServiceService, config.dataStreamAddress);
  const checkpointStore = createClient(CheckpointStoreServiceService, config.checkpointStoreAddress);
  const clients = [tokenizer, dataStream, checkpointStore];
  const close = () => clients.forEach((client) => client.close());
  return { tokenizer, dataStream, checkpointStore, models: config.models, close };
}
