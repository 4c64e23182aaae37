/** MLflow's REST API, version 2.0 (https://mlflow.org/docs/latest/rest-api.html), as far as reports use it. */
import { GradpoolError } from "@gradpool/errors";
import { visible } from "@gradpool/format";
import { fetchThrough, type ProxySettings } from "@gradpool/hub";

export interface MlflowSettings {
  /** Of the server, without a slash at its end. */
  url: string;
  experiment: string;
  /** Value of the header; it never gets into logs, errors or records. */
  authorization?: string | undefined;
  proxy?: ProxySettings | undefined;
}

/** A run there. */
export interface MlflowRun {
  id: string;
  experimentId: string;
  /** The newest step of each metric. */
  lastSteps: ReadonlyMap<string, number>;
}

export interface MlflowMetric {
  key: string;
  value: number;
  /** In ms since 1970. */
  timestamp: number;
  step: number;
}

type KeyValues = Readonly<Record<string, string>>;

/** What MLflow accepts in one request. */
export const MAX_METRICS = 1_000;
export const MAX_PARAMS = 100;

const TIMEOUT_MS = 30_000;
/** Of an error's text. */
const MAX_ERROR_CHARACTERS = 300;

interface RunJson {
  info: { run_id: string; experiment_id: string };
  data?: { metrics?: { key: string; step?: number | string }[] };
}

export class MlflowClient {
  readonly #settings: MlflowSettings;
  readonly #fetch: typeof fetch;
  #last: Promise<unknown> = Promise.resolve();

  constructor(settings: MlflowSettings) {
    this.#settings = settings;
    this.#fetch = fetchThrough(settings.proxy);
  }

  /** The id of the experiment, which is created if there is none. */
  async experimentId(signal: AbortSignal): Promise<string> {
    const { experiment: name } = this.#settings;
    const find = () =>
      this.#ask<{ experiment: { experiment_id: string } }>(
        `experiments/get-by-name?${new URLSearchParams({ experiment_name: name })}`,
        undefined,
        signal,
      );
    try {
      return (await find()).experiment.experiment_id;
    } catch (error) {
      if (GradpoolError.from(error).code !== "not_found") throw error;
    }
    try {
      return (await this.#ask<{ experiment_id: string }>("experiments/create", { name }, signal)).experiment_id;
    } catch (error) {
      if (GradpoolError.from(error).code !== "already_exists") throw error;
      return (await find()).experiment.experiment_id;
    }
  }

  /** The run with this tag, if there is one. */
  async findRun(experimentId: string, tag: string, value: string, signal: AbortSignal): Promise<MlflowRun | undefined> {
    const filter = `tags.\`${tag}\` = '${value}'`;
    const body = { experiment_ids: [experimentId], filter, max_results: 1 };
    const [run] = (await this.#ask<{ runs?: RunJson[] }>("runs/search", body, signal)).runs ?? [];
    return run && runOf(run);
  }

  async createRun(
    experimentId: string,
    { name, startMs, tags }: { name: string; startMs: number; tags: KeyValues },
    signal: AbortSignal,
  ): Promise<MlflowRun> {
    const body = { experiment_id: experimentId, run_name: name, start_time: startMs, tags: pairs(tags) };
    return runOf((await this.#ask<{ run: RunJson }>("runs/create", body, signal)).run);
  }

  /** At most MAX_PARAMS; those that the run has already must be the same. */
  async logParams({ id }: MlflowRun, params: KeyValues, signal: AbortSignal): Promise<void> {
    await this.#ask("runs/log-batch", { run_id: id, params: pairs(params) }, signal);
  }

  /** At most MAX_METRICS. */
  async logMetrics({ id }: MlflowRun, metrics: readonly MlflowMetric[], signal: AbortSignal): Promise<void> {
    // JSON has no infinite numbers; protobuf's JSON, which MLflow reads, has them as text.
    const sent = metrics.map(({ value, ...rest }) => ({
      ...rest,
      value: Number.isFinite(value) ? value : String(value),
    }));
    await this.#ask("runs/log-batch", { run_id: id, metrics: sent }, signal);
  }

  async updateRun({ id }: MlflowRun, status: string, endMs: number, signal: AbortSignal): Promise<void> {
    await this.#ask("runs/update", { run_id: id, status, end_time: endMs }, signal);
  }

  /** Of a run's page. */
  pageOf({ id, experimentId }: MlflowRun): string {
    return `${this.#settings.url}/#/experiments/${experimentId}/runs/${id}`;
  }

  /** One request at a time, however many runs are reported. Errors: those of #send. */
  #ask<T>(path: string, body: object | undefined, signal: AbortSignal): Promise<T> {
    const turn = this.#last.then(() => this.#send<T>(path, body, signal));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Errors: GradpoolError; `unavailable` where trying again later may help. */
  async #send<T>(path: string, body: object | undefined, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { url, authorization } = this.#settings;
    let status: number;
    let text: string;
    try {
      const response = await this.#fetch(`${url}/api/2.0/mlflow/${path}`, {
        method: body ? "POST" : "GET",
        headers: { "content-type": "application/json", ...(authorization && { authorization }) },
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        redirect: "error",
        ...(body && { body: JSON.stringify(body) }),
      });
      ({ status } = response);
      text = await response.text();
    } catch (error) {
      signal.throwIfAborted();
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw new GradpoolError("unavailable", `MLflow at ${url} does not answer (${cause})`, { cause: error });
    }
    if (status !== 200) throw refusal(url, status, text);
    return JSON.parse(text) as T;
  }
}

function refusal(url: string, status: number, text: string): GradpoolError {
  if (status === 401 || status === 403) {
    const advice =
      "check MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, of the coordinator";
    return new GradpoolError("permission_denied", `MLflow at ${url} refuses access (HTTP ${status}); ${advice}`);
  }
  const { error_code: code, message } = errorOf(text);
  const said = visible(message ?? text).slice(0, MAX_ERROR_CHARACTERS);
  const problem = `MLflow at ${url} answers HTTP ${status}: ${said}`;
  if (code === "RESOURCE_DOES_NOT_EXIST") return new GradpoolError("not_found", problem);
  if (code === "RESOURCE_ALREADY_EXISTS") return new GradpoolError("already_exists", problem);
  return new GradpoolError(status >= 500 || status === 429 ? "unavailable" : "failed_precondition", problem);
}

function errorOf(text: string): { error_code?: string; message?: string } {
  try {
    const json = JSON.parse(text) as { error_code?: string; message?: string } | null;
    return json ?? {};
  } catch {
    return {};
  }
}

const runOf = ({ info, data }: RunJson): MlflowRun => ({
  id: info.run_id,
  experimentId: info.experiment_id,
  lastSteps: new Map((data?.metrics ?? []).map(({ key, step = 0 }) => [key, Number(step)])),
});

const pairs = (values: KeyValues) => Object.entries(values).map(([key, value]) => ({ key, value }));
