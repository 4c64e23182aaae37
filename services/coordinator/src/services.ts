import type { ModelPlaces } from "@gradpool/hub";
import {
  CheckpointStoreServiceService,
  DataStreamServiceService,
  TokenizerServiceService,
  type Client,
} from "@gradpool/rpc";
import type { Scope } from "@gradpool/service-kit";
import type { CoordinatorConfig } from "./config.js";

/** What a run needs: services, and a folder. */
export interface Services {
  tokenizer: Client<TokenizerServiceService>;
  dataStream: Client<DataStreamServiceService>;
  checkpointStore: Client<CheckpointStoreServiceService>;
  /** Absolute folder for converted models. */
  models: ModelPlaces;
}

export function connectServices(config: CoordinatorConfig, { own, connect }: Scope): Services {
  return {
    tokenizer: own(connect(TokenizerServiceService, config.tokenizerAddress)),
    dataStream: own(connect(DataStreamServiceService, config.dataStreamAddress)),
    checkpointStore: own(connect(CheckpointStoreServiceService, config.checkpointStoreAddress)),
    models: config.models,
  };
}
