/** WatchRun as server-sent events, see the HTML standard. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { GradpoolError } from "@gradpool/errors";
import {
  CheckpointUpdate,
  Evaluation,
  Metadata,
  Run,
  StepMetrics,
  type Handlers,
  type RunServiceService,
  type WatchRunResponse,
} from "@gradpool/rpc";

/** Watchers at a time; each costs a connection. */
const MAX_WATCHERS = 100;

/** Steps in one event: those made already are sent many at a time. */
const MAX_STEPS = 500;

/** A step that waits longer than this is sent alone. */
const FLUSH_MS = 50;

/** Proxies close idle connections. */
const BEAT_MS = 15_000;

/** How soon a browser reconnects. */
const RETRY_MS = 1_000;

type Update = NonNullable<WatchRunResponse["update"]>;

export class WatchStreams {
  readonly #watchRun: Handlers<RunServiceService>["watchRun"];
  #watchers = 0;

  constructor({ watchRun }: Pick<Handlers<RunServiceService>, "watchRun">) {
    this.#watchRun = watchRun;
  }

  /**
   * Events `run`, `steps` (an array), `checkpoint` and `evaluation` as they happen, then `end`. An event's id is the
   * last step before it: a client that sends it as Last-Event-ID or after_step continues from there.
   * Errors: `not_found`, `invalid_argument`, `resource_exhausted`.
   */
  async stream(runId: string, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const afterStep = stepOf(request.headers["last-event-id"] ?? url.searchParams.get("after_step") ?? "0");
    if (this.#watchers >= MAX_WATCHERS) {
      throw new GradpoolError(
        "resource_exhausted",
        `${MAX_WATCHERS} browsers are watching already; close one and try again`,
      );
    }
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    this.#watchers += 1;
    try {
      const updates = this.#watchRun({ runId, afterStep }, { signal: gone.signal, metadata: new Metadata() });
      await send(response, updates, afterStep, gone.signal);
    } finally {
      this.#watchers -= 1;
    }
  }
}

/** Errors: `invalid_argument`. */
function stepOf(text: string | string[]): number {
  const step = Number(text);
  if (Number.isSafeInteger(step) && step >= 0 && step < 2 ** 32) return step;
  throw new GradpoolError("invalid_argument", "after_step and Last-Event-ID must be steps: whole numbers from 0");
}

async function send(
  response: ServerResponse,
  updates: AsyncIterable<WatchRunResponse>,
  afterStep: number,
  signal: AbortSignal,
): Promise<void> {
  const writer = new EventWriter(response, afterStep);
  const beat = setInterval(() => response.headersSent && response.write(": beat\n\n"), BEAT_MS);
  try {
    for await (const { update } of updates) {
      // The first response shows that the run exists.
      if (!response.headersSent) begin(response);
      if (update) writer.add(update);
      // A slow reader is waited for: the run's record keeps what happens in the meantime.
      if (response.writableNeedDrain) await once(response, "drain", { signal });
    }
    writer.end();
  } catch (error) {
    if (signal.aborted) return;
    if (!response.headersSent) throw error;
    // The browser reconnects, and is then told what is wrong.
    writer.flush();
    response.end();
  } finally {
    clearInterval(beat);
    writer.stop();
  }
}

function begin(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write(`retry: ${RETRY_MS}\n\n`);
}

/** Batches steps that arrive together. */
class EventWriter {
  readonly #response: ServerResponse;
  #steps: StepMetrics[] = [];
  #lastStep: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(response: ServerResponse, lastStep: number) {
    this.#response = response;
    this.#lastStep = lastStep;
  }

  add(update: Update): void {
    if (update.$case === "step") {
      this.#steps.push(update.value);
      if (this.#steps.length >= MAX_STEPS) this.flush();
      else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS);
      return;
    }
    this.flush();
    if (update.$case === "run") this.#write("run", Run.toJSON(update.value));
    else if (update.$case === "checkpoint") this.#write("checkpoint", CheckpointUpdate.toJSON(update.value));
    else this.#write("evaluation", Evaluation.toJSON(update.value));
  }

  flush(): void {
    this.stop();
    const last = this.#steps.at(-1);
    if (!last) return;
    this.#lastStep = last.step;
    this.#write(
      "steps",
      this.#steps.map((step) => StepMetrics.toJSON(step)),
    );
    this.#steps = [];
  }

  end(): void {
    this.flush();
    this.#write("end", {});
    this.#response.end();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #write(event: string, data: unknown): void {
    this.#response.write(`id: ${this.#lastStep}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }
}
