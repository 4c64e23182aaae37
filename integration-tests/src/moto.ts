/** moto's S3, an object store written independently of ours and of versitygw, from PyPI. It accepts unsigned requests. */
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ROOT } from "./structure.js";
import { freePorts, killServer, pythonWith } from "./tools.js";

/** A Python that has it. */
export const motoPython = () => pythonWith(join(ROOT, "integration-tests/fixtures/moto/requirements.txt"));

export class Moto implements AsyncDisposable {
  /** What a process needs to find it. */
  readonly env: Record<string, string>;
  readonly #url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.#url = url;
    this.#child = child;
    this.env = {
      ...{ AWS_ENDPOINT_URL_S3: url, AWS_REGION: "us-east-1", AWS_EC2_METADATA_DISABLED: "true" },
      ...{ AWS_ACCESS_KEY_ID: "gradpool", AWS_SECRET_ACCESS_KEY: "gradpool-secret" },
    };
  }

  static async start(python: string, bucket: string): Promise<Moto> {
    const [port] = (await freePorts(1)) as [number];
    const args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)];
    const child = spawn(python, args, { stdio: "ignore" });
    const moto = new Moto(`http://127.0.0.1:${port}`, child);
    for (;;) {
      const response = await moto.#request("PUT", bucket).catch(() => undefined);
      if (response?.ok) return moto;
      if (child.exitCode !== null) throw new Error(`moto ended with exit code ${child.exitCode}`);
      await delay(50);
    }
  }

  /** Keys of a bucket's objects. */
  async keys(bucket: string): Promise<string[]> {
    return this.#keysIn(`${bucket}?list-type=2`);
  }

  /** Keys of its unfinished multipart uploads. */
  async uploads(bucket: string): Promise<string[]> {
    return this.#keysIn(`${bucket}?uploads`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await killServer(this.#child);
  }

  async #keysIn(path: string): Promise<string[]> {
    const text = await (await this.#request("GET", path)).text();
    return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = ""]) => key);
  }

  #request(method: string, path: string): Promise<Response> {
    return fetch(`${this.#url}/${path}`, { method });
  }
}
