/** A real object store with an S3 interface, versitygw over a folder, to kill, restart and inspect. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { KeyPair } from "./certificates.js";
import { deployTool, freePorts, killServer } from "./tools.js";

const ACCESS_KEY = "gradpool";
const SECRET_KEY = "gradpool-secret";

export class Versitygw implements AsyncDisposable {
  /** What a process needs to find it. */
  readonly env: Record<string, string>;
  readonly #folder: string;
  readonly #port: number;
  readonly #certificate: KeyPair | undefined;
  #child: ChildProcess | undefined;

  private constructor(folder: string, port: number, certificate: KeyPair | undefined) {
    this.#folder = folder;
    this.#port = port;
    this.#certificate = certificate;
    this.env = {
      AWS_ENDPOINT_URL_S3: `${certificate ? "https" : "http"}://127.0.0.1:${port}`,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      // None of the machine's own accounts.
      AWS_EC2_METADATA_DISABLED: "true",
    };
  }

  /** `folder`: where it keeps its data, a folder for each bucket; with a `certificate` it speaks TLS. */
  static async start(folder: string, buckets: readonly string[], certificate?: KeyPair): Promise<Versitygw> {
    const [port] = (await freePorts(1)) as [number];
    const store = new Versitygw(folder, port, certificate);
    for (const bucket of buckets) await mkdir(store.path(bucket), { recursive: true });
    await store.start();
    return store;
  }

  /** The file or folder of a bucket, or of an object in it. */
  path(bucket: string, key = ""): string {
    return join(this.#folder, bucket, key);
  }

  async start(): Promise<void> {
    const { path } = await deployTool("versitygw");
    const env = { ...process.env, ROOT_ACCESS_KEY_ID: ACCESS_KEY, ROOT_SECRET_ACCESS_KEY: SECRET_KEY };
    const tls = this.#certificate ? ["--cert", this.#certificate.cert, "--key", this.#certificate.key] : [];
    const args = ["--port", `127.0.0.1:${this.#port}`, ...tls, "--quiet", "posix", this.#folder];
    const child = spawn(path, args, { env, stdio: "ignore" });
    this.#child = child;
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error(`versitygw ended with exit code ${child.exitCode}`);
      await delay(50);
    }
  }

  async kill(): Promise<void> {
    await killServer(this.#child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #answers(): Promise<boolean> {
    const socket = createConnection(this.#port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }
}
