/** What the service asks its threads, and what they ask back. */
import type { ChatTemplateSource, EncodeOptions } from "@gradpool/data";
import type { DescribeDatasetRequest, DescribeDatasetResponse, MicroBatch, OpenStreamRequest } from "@gradpool/rpc";
import type { DatasetPlaces } from "./open-dataset.js";

/** Plain data. */
export type DataJob = { places: DatasetPlaces } & (
  | { kind: "stream"; request: OpenStreamRequest }
  | { kind: "describe"; request: DescribeDatasetRequest; countsDir: string }
);

export interface DataValues {
  stream: MicroBatch;
  /** With what was counted since the last response. */
  describe: { response: DescribeDatasetResponse; counted: { rows: number; bytes: number } };
}

/** Asked by the thread: it has no connection of its own. */
export type EncoderCall =
  { kind: "load" } | { kind: "encode"; texts: readonly string[]; maxTokens: number; options: EncodeOptions };

/** What a thread knows of the encoder. */
export interface EncoderFacts {
  key: string;
  eosId: number;
  padId: number;
  chatTemplate: ChatTemplateSource | undefined;
  truncationSide: "left" | "right";
}
