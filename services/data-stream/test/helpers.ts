import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createClient,
  DataStreamServiceService,
  type Client,
  type DatasetSpec,
  type MicroBatch,
  type OpenStreamRequest,
} from "@gradpool/rpc";
import { hubSettings } from "@gradpool/hub";
import { createLogger, type Service } from "@gradpool/service-kit";
import { BOUNDS } from "../src/data-threads.js";
import { startDataStream } from "../src/data-stream.js";
import { ByteTokenizer, EOS } from "./byte-tokenizer.js";
import { key, keyed } from "./key.js";

export interface Stage {
  tokenizer: ByteTokenizer;
  dataStream: Service;
  client: Client<DataStreamServiceService>;
  folder: string;
  /** A data set of one .jsonl file with these texts. */
  dataset(texts: readonly string[], options?: Partial<DatasetSpec>): Promise<DatasetSpec>;
}

/** Runs `use` with both services, a client and a folder. */
export async function onStage(use: (stage: Stage) => Promise<void>, bounds = BOUNDS): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-data-stream-"));
  const tokenizer = await ByteTokenizer.start();
  const hub = hubSettings({ HF_HOME: folder, HF_HUB_OFFLINE: "1" });
  const config = { listen: "127.0.0.1:0", tokenizerAddress: tokenizer.address, hub, countsDir: join(folder, "counts") };
  const log = createLogger("data-stream", { GRADPOOL_LOG_LEVEL: "silent" });
  const dataStream = await startDataStream(config, log, { key }, bounds);
  const client = createClient(DataStreamServiceService, dataStream.address, keyed);
  const dataset = async (texts: readonly string[], options: Partial<DatasetSpec> = {}) => {
    const path = join(folder, "d.jsonl");
    await writeFile(path, texts.map((content) => `${JSON.stringify({ content })}\n`).join(""));
    return { ...SPEC, sources: [path], ...options };
  };
  try {
    await use({ tokenizer, dataStream, client, folder, dataset });
  } finally {
    client.close();
    await dataStream[Symbol.asyncDispose]();
    await tokenizer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
}

export const SPEC: DatasetSpec = {
  sources: ["synthetic"],
  textColumn: "content",
  tokenizer: { modelId: "bytes", padToken: "", tokenizerHash: "" },
  maxLength: 64,
  batchSize: 4,
  appendEos: true,
  packing: false,
  shuffleBuffer: 0,
  seed: 3,
  maxRows: 0,
  promptColumn: "",
  completionColumn: "",
  messagesColumn: "",
  config: "",
  split: "",
  sourceWeights: [],
  // As an older client without the field sends it.
  recipe: undefined,
  heldOut: false,
};

export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** All micro-batches, as plain values. */
export async function streamOf(
  client: Client<DataStreamServiceService>,
  request: Partial<OpenStreamRequest>,
): Promise<MicroBatch[]> {
  const responses = await collect(client.openStream({ dataset: undefined, epochs: 1, cursor: undefined, ...request }));
  return responses.map(({ microBatch }) => microBatch!);
}

export function rowsOf({ ids, lengths, rowLength }: MicroBatch): number[][] {
  const all = new Int32Array(new Uint8Array(ids).buffer);
  return lengths.map((length, row) => Array.from(all.subarray(row * rowLength, row * rowLength + length)));
}

export const textsOf = (microBatches: MicroBatch[]) =>
  microBatches.flatMap(rowsOf).map((ids) => Buffer.from(ids.filter((id) => id !== EOS)).toString("utf8"));

/** `count` texts, each with its number. */
export const numbered = (count: number, text = "row") => Array.from({ length: count }, (_, i) => `${text} ${i}`);
