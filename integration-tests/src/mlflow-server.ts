/** A real MLflow server from PyPI, which keeps its runs in a SQLite file. */
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ROOT } from "./structure.js";
import { freePorts, killServer, pinnedPython } from "./tools.js";

/** A Python that has it. */
export const mlflowPython = () => pinnedPython(join(ROOT, "integration-tests/fixtures/mlflow/requirements.txt"));

export interface MlflowRunJson {
  info: { run_id: string; run_name: string; status: string; start_time: number; end_time?: number };
  data: { params?: KeyValue[]; tags?: KeyValue[] };
}

interface KeyValue {
  key: string;
  value: string;
}

export interface MlflowPoint {
  step: number;
  value: number;
  timestamp: number;
}

export class MlflowServer implements AsyncDisposable {
  readonly url: string;
  readonly #command: [program: string, args: string[]];
  readonly #folder: string;
  #child: ChildProcess | undefined;

  private constructor(python: string, folder: string, port: number) {
    this.url = `http://127.0.0.1:${port}`;
    this.#folder = folder;
    const store = `sqlite:///${join(folder, "mlflow.db")}`;
    const args = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", String(port), "--workers", "1"];
    this.#command = [python, [...args, "--backend-store-uri", store, "--artifacts-destination", folder]];
  }

  /** Does not start yet. */
  static async at(python: string, folder: string): Promise<MlflowServer> {
    const [port] = (await freePorts(1)) as [number];
    return new MlflowServer(python, folder, port);
  }

  /** Returns when it answers. */
  async start(): Promise<void> {
    const [program, args] = this.#command;
    this.#child = spawn(program, args, { cwd: this.#folder, stdio: "ignore", detached: true });
    while (!(await fetch(`${this.url}/health`).catch(() => undefined))?.ok) {
      if (this.#child.exitCode !== null) throw new Error(`mlflow ended with exit code ${this.#child.exitCode}`);
      await delay(100);
    }
  }

  /** The runs of an experiment by their names. */
  async runs(experiment: string): Promise<Map<string, MlflowRunJson>> {
    const { experiment: found } = await this.#ask<{ experiment: { experiment_id: string } }>(
      `experiments/get-by-name?experiment_name=${experiment}`,
    );
    const body = JSON.stringify({ experiment_ids: [found.experiment_id], max_results: 1000 });
    const { runs = [] } = await this.#ask<{ runs?: MlflowRunJson[] }>("runs/search", body);
    const byName = new Map(runs.map((run) => [run.info.run_name, run]));
    if (byName.size !== runs.length) throw new Error("a run is there twice");
    return byName;
  }

  /** All points of a metric, as they are stored. */
  async points({ info }: MlflowRunJson, key: string): Promise<MlflowPoint[]> {
    const { metrics = [] } = await this.#ask<{ metrics?: Record<keyof MlflowPoint, string | number>[] }>(
      `metrics/get-history?run_id=${info.run_id}&metric_key=${key}`,
    );
    return metrics.map(({ step, value, timestamp }) => ({
      step: Number(step),
      value: Number(value),
      timestamp: Number(timestamp),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its workers, too.
    if (this.#child?.pid !== undefined && this.#child.exitCode === null) process.kill(-this.#child.pid, "SIGKILL");
    await killServer(this.#child);
  }

  async #ask<T>(path: string, body?: string): Promise<T> {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${this.url}/api/2.0/mlflow/${path}`, {
      headers,
      ...(body && { method: "POST", body }),
    });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  }
}
