/** The checkpoint store as a separate process, to be killed, and what is saved in it. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  CheckpointStoreServiceService,
  chunks,
  concat,
  createClient,
  PoolKey,
  withKey,
  type Client,
  SaveHeader,
  type SaveRequest,
} from "@gradpool/rpc";

const MAIN = fileURLToPath(new URL("../../../services/checkpoint-store/dist/bin/main.js", import.meta.url));

const key = PoolKey.random();

export type Files = ReadonlyMap<string, Uint8Array>;

export class StoreProcess implements AsyncDisposable {
  readonly client: Client<CheckpointStoreServiceService>;
  /** Signal that ended it, null if it exited on its own. */
  readonly ended: Promise<NodeJS.Signals | null>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, address: string) {
    this.#child = child;
    this.client = createClient(CheckpointStoreServiceService, address, [withKey(() => key)]);
    this.ended = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
  }

  /** All its file operations come from one thread, one after another, so that they can be counted. `more`: environment. */
  static async start(more: Record<string, string> = {}): Promise<StoreProcess> {
    const env = {
      ...process.env,
      ...more,
      GRADPOOL_LISTEN: "127.0.0.1:0",
      GRADPOOL_LOG_LEVEL: "silent",
      GRADPOOL_KEY: key.reveal(),
    };
    const child = fork(MAIN, { env: { ...env, UV_THREADPOOL_SIZE: "1", UV_USE_IO_URING: "0" } });
    const [message] = (await once(child, "message")) as [{ type: string; address: string }];
    if (message.type !== "ready") throw new Error(`the checkpoint store did not start: ${JSON.stringify(message)}`);
    return new StoreProcess(child, message.address);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  save(header: Pick<SaveHeader, "outputDir" | "runId" | "name" | "step"> & Partial<SaveHeader>, files: Files) {
    const sizes = [...files].map(([path, { byteLength }]) => ({ path, sizeBytes: byteLength }));
    return this.client.save(requests({ ...SaveHeader.fromPartial(header), files: sizes }, files));
  }

  /** The newest undamaged checkpoint, or the one of that name: its name and its files. */
  async load(outputDir: string, checkpoint = ""): Promise<{ name: string; files: Map<string, Uint8Array> }> {
    let name = "";
    const pieces = new Map<string, Uint8Array[]>();
    for await (const piece of this.client.load({ outputDir, name: checkpoint, paths: [], runId: "" })) {
      name ||= piece.name;
      pieces.set(piece.path, [...(pieces.get(piece.path) ?? []), piece.data]);
    }
    return { name, files: new Map([...pieces].map(([path, parts]) => [path, concat(parts)])) };
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.#child.kill("SIGTERM");
    await this.ended;
  }
}

async function* requests(header: SaveHeader, files: Files): AsyncGenerator<SaveRequest> {
  yield { message: { $case: "header", value: header } };
  for (const content of files.values()) {
    for (const data of chunks(content)) yield { message: { $case: "data", value: data } };
  }
}

/** Files like those of a checkpoint, with different bytes for each `kind`; the adapter takes two chunks. */
export function checkpointFiles(kind: number): Map<string, Uint8Array> {
  const text = (content: string) => new TextEncoder().encode(content);
  return new Map([
    ["adapter_config.json", text(`{"kind":${kind}}`)],
    ["adapter_model.safetensors", new Uint8Array(1_200_000).fill(kind)],
    ["training_state.safetensors", new Uint8Array(100_000).fill(kind + 1)],
    ["trainer_state.json", text(`{"step":${kind}}`)],
  ]);
}
