/** A fake hub, a cache, and repositories to download: the starting point of the hub's tests. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { Hub, type HubSettings, type Repo } from "@gradpool/hub";
import type { FakeRepo } from "./fake-hub-repo.js";
import { FakeHub, type FakeHubOptions } from "./fake-hub.js";

/** Short, so that tests do not have to wait; they are reached only through a fault, even on a busy machine. */
export const TEST_TIMING = { responseMs: 20_000, stallMs: 20_000, backoffMs: 5 };

export class HubWorkspace implements AsyncDisposable {
  readonly #root: string;
  readonly fake: FakeHub;

  private constructor(root: string, fake: FakeHub) {
    this.#root = root;
    this.fake = fake;
  }

  static async create(options?: FakeHubOptions): Promise<HubWorkspace> {
    return new HubWorkspace(await mkdtemp(join(tmpdir(), "gradpool-hub-")), await FakeHub.start(options));
  }

  path(...parts: string[]): string {
    return join(this.#root, ...parts);
  }

  get cacheDir(): string {
    return this.path("cache");
  }

  /** A client of the fake hub. */
  hub(settings: Partial<HubSettings> = {}): Hub {
    const { endpoint } = this.fake;
    return new Hub({ endpoint, cacheDir: this.cacheDir, offline: false, timing: TEST_TIMING, ...settings });
  }

  /** Writes files; returns their folder. */
  async folder(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      const file = this.path(name, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
    }
    return this.path(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fake[Symbol.asyncDispose]();
    await rm(this.#root, { recursive: true, force: true });
  }
}

export const MODEL: Repo = { type: "model", id: "org/tiny", revision: "main" };

/** A model repository like those on the hub: with files that are needed, and others that are not. */
export const modelFiles = (weights: Uint8Array) => ({
  "config.json": '{"model_type": "gpt2"}\n',
  "generation_config.json": "{}\n",
  "tokenizer.json": '{"version": "1.0"}\n',
  "vocab.json": '{"a": 0}\n',
  "merges.txt": "#version: 0.2\n",
  "model.safetensors": weights,
  "pytorch_model.bin": "the same weights, differently",
  "tf_model.h5": "the same weights again",
  "modeling_tiny.py": "raise SystemExit('never run')\n",
  "README.md": "# tiny\n",
  "onnx/model.onnx": "and again",
});

/** Which of these files a model needs, in order. */
export const NEEDED = [
  "config.json",
  "generation_config.json",
  "merges.txt",
  "model.safetensors",
  "tokenizer.json",
  "vocab.json",
];

/** A hub with a model. */
export async function withModel(
  weights: Uint8Array,
): Promise<{ workspace: HubWorkspace; repo: FakeRepo; commit: string }> {
  const workspace = await HubWorkspace.create({ token: "hf_good" });
  const repo = workspace.fake.create("model", MODEL.id);
  const commit = await repo.commit(await workspace.folder("model", modelFiles(weights)));
  return { workspace, repo, commit };
}

/** The cache's folder of MODEL. */
export const repoFolder = ({ cacheDir }: HubWorkspace) => join(cacheDir, "models--org--tiny");

/** Files that a download leaves behind when it is interrupted. */
export async function unfinished(workspace: HubWorkspace): Promise<string[]> {
  const names = await readdir(repoFolder(workspace), { recursive: true });
  return names.filter((name) => /\.(incomplete|tmp)$/.test(name));
}

/** For assert.rejects: an expected failure, in one line that reveals no secret. */
export const failsWith = (code: ErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GradpoolError, String(error));
  assert.match(error.message, message);
  assert.equal(error.code, code);
  assert.ok(!error.message.includes("\n") && !error.message.includes("signature"), error.message);
  return true;
};

/** Bytes that do not repeat, always the same for the same seed. */
export function noise(sizeBytes: number, seed = 1): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 32 < sizeBytes; i++) blocks.push(createHash("sha256").update(`${seed} ${i}`).digest());
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

export const sha256File = async (path: string) =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

/** Waits until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(5);
}

/** A promise and the function that resolves it. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
