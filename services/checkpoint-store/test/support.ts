import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import {
  CheckpointStoreServiceService,
  chunks,
  concat,
  createClient,
  type Client,
  type LoadResponse,
  type SaveHeader,
  type SaveRequest,
} from "@gradpool/rpc";
import { createLogger, type Service } from "@gradpool/service-kit";
import { startCheckpointStore } from "../src/index.js";
import { key, keyed } from "./key.js";

export const RUN = "run-1";
export const LOG = createLogger("checkpoint-store", { GRADPOOL_LOG_LEVEL: "silent" });

export type StoreClient = Client<typeof CheckpointStoreServiceService>;

/** A folder that is removed after the test. */
export function tempFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-store-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The running service and a client of it, both closed after the test. */
export async function startStore(t: TestContext): Promise<{ client: StoreClient; store: Service }> {
  const store = await startCheckpointStore(
    { listen: "127.0.0.1:0", finishMs: 2_000, s3: { endpoint: undefined, region: "us-east-1" } },
    LOG,
    { key },
  );
  const client = createClient(CheckpointStoreServiceService, store.address, keyed);
  t.after(async () => {
    client.close();
    await store[Symbol.asyncDispose]();
  });
  return { client, store };
}

export type Files = Record<string, string | Uint8Array>;

const bytesOf = (content: string | Uint8Array) =>
  typeof content === "string" ? new TextEncoder().encode(content) : content;

export function headerOf(outputDir: string, step: number, files: Files, change: Partial<SaveHeader> = {}): SaveHeader {
  return {
    outputDir,
    runId: RUN,
    name: `checkpoint-epoch0-step${step}`,
    epoch: 0,
    step,
    files: Object.entries(files).map(([path, content]) => ({ path, sizeBytes: bytesOf(content).byteLength })),
    keepLastN: 0,
    continuedRunIds: [],
    unfinished: false,
    ...change,
  };
}

export async function* saveRequests(header: SaveHeader, files: Files): AsyncGenerator<SaveRequest> {
  yield { message: { $case: "header", value: header } };
  for (const data of dataOf(files)) yield { message: { $case: "data", value: data } };
}

export function* dataOf(files: Files): Generator<Uint8Array> {
  for (const content of Object.values(files)) yield* chunks(bytesOf(content));
}

export function save(client: StoreClient, outputDir: string, step: number, files: Files, change?: Partial<SaveHeader>) {
  return client.save(saveRequests(headerOf(outputDir, step, files, change), files));
}

/** The files of a Load, and the checkpoint's name. */
export async function collect(
  responses: AsyncIterable<LoadResponse>,
): Promise<{ name: string; files: Record<string, string> }> {
  let name = "";
  const pieces = new Map<string, Uint8Array[]>();
  for await (const response of responses) {
    name ||= response.name;
    pieces.set(response.path, [...(pieces.get(response.path) ?? []), response.data]);
  }
  const files = [...pieces].map(([path, parts]) => [path, new TextDecoder().decode(concat(parts))]);
  return { name, files: Object.fromEntries(files) as Record<string, string> };
}

export function load(client: StoreClient, outputDir: string, name = "", paths: string[] = []) {
  return collect(client.load({ outputDir, name, paths, runId: "" }));
}

/** Deletes with a new request id. */
export function remove(client: StoreClient, outputDir: string, name: string) {
  return client.delete({ outputDir, name, requestId: randomUUID() });
}

/** Matcher for assert.rejects. */
export function failure(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof GradpoolError)) return false;
    if (error.code !== code || !text.test(error.message) || error.message.includes("\n")) {
      throw new Error(`unexpected ${error.code}: ${error.message}`);
    }
    return true;
  };
}
