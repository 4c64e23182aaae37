import {
  CheckpointStoreServiceService,
  createClient,
  DataStreamServiceService,
  TokenizerServiceService,
  type Client,
} from "@gradpool/rpc";
import type { CoordinatorConfig } from "./config.js";

/** The services that a run needs. */
export interface Services {
  tokenizer: Client<TokenizerServiceService>;
  dataStream: Client<DataStreamServiceService>;
  checkpointStore: Client<CheckpointStoreServiceService>;
  close(): void;
}

export function connectServices(config: CoordinatorConfig): Services {
  const tokenizer = createClient(TokenizerServiceService, config.tokenizerAddress);
  const dataStream = createClient(DataStreamServiceService, config.dataStreamAddress);
  const checkpointStore = createClient(CheckpointStoreServiceService, config.checkpointStoreAddress);
  const clients = [tokenizer, dataStream, checkpointStore];
  return { tokenizer, dataStream, checkpointStore, close: () => clients.forEach((client) => client.close()) };
}
