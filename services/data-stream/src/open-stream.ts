import { microBatches, type StreamOptions } from "@gradpool/data";
import type { HubSettings } from "@gradpool/hub";
import type {
  Client,
  Handlers,
  DataStreamServiceService,
  OpenStreamRequest,
  OpenStreamResponse,
  TokenizerServiceService,
} from "@gradpool/rpc";
import { ahead } from "./ahead.js";
import type { DataStreamMetrics } from "./metrics.js";
import { TokenizerEncoder } from "./tokenizer-encoder.js";
import { openDataset } from "./open-dataset.js";
import { microBatchMessage, requestedDataset } from "./translate.js";

/** Micro-batches prepared before the client reads them, besides those in gRPC's window. */
const PREPARED_MICRO_BATCHES = 8;

export function openStreamHandler(
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  metrics: DataStreamMetrics,
): Handlers<DataStreamServiceService>["openStream"] {
  return (request, { signal }) => openStream(request, tokenizer, hub, signal, metrics);
}

async function* openStream(
  request: OpenStreamRequest,
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  signal: AbortSignal,
  metrics: DataStreamMetrics,
): AsyncGenerator<OpenStreamResponse> {
  const requested = requestedDataset(request.dataset);
  const { recipe, tokenizer: ref } = requested;
  const dataset = await openDataset(requested, hub, signal);
  const encoder = metrics.counting(await TokenizerEncoder.create(tokenizer, ref, signal));
  const { epochs, cursor } = request;
  const options: StreamOptions = { epochs, signal, ...(cursor && { cursor }) };
  for await (const microBatch of ahead(microBatches(dataset, recipe, encoder, options), PREPARED_MICRO_BATCHES)) {
    metrics.sent(microBatch);
    yield { microBatch: microBatchMessage(microBatch) };
  }
}
