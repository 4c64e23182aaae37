import type { Roots } from "@gradpool/access";
import {
  CheckpointStoreServiceService,
  DataStreamServiceService,
  TokenizerServiceService,
  type Client,
} from "@gradpool/rpc";
import type { Scope } from "@gradpool/service-kit";
import type { CoordinatorConfig } from "./config.js";
import { Models } from "./runs/models.js";

/** What a run needs: services, and what reads models. */
export interface Services {
  tokenizer: Client<TokenizerServiceService>;
  dataStream: Client<DataStreamServiceService>;
  checkpointStore: Client<CheckpointStoreServiceService>;
  models: Models;
}

/** With `models` instead of its own, which its owner disposes of. */
export function connectServices(
  config: CoordinatorConfig,
  roots: Roots,
  { own, connect }: Scope,
  models?: Models,
): Services {
  return {
    tokenizer: own(connect(TokenizerServiceService, config.tokenizerAddress)),
    dataStream: own(connect(DataStreamServiceService, config.dataStreamAddress)),
    checkpointStore: own(connect(CheckpointStoreServiceService, config.checkpointStoreAddress)),
    models: models ?? own(new Models({ ...config.models, roots })),
  };
}
