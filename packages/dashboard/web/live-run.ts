/** One run as it happens: server-sent events into columns that a page draws. */
import { hasEnded, type CheckpointJson, type EvaluationJson, type RunJson, type StepJson } from "./messages.js";
import { NO_KEY } from "./api.js";
import { Series, type Point } from "./series.js";

const COLUMNS = ["step", "loss", "learningRate", "gradNorm", "tokensPerSecond", "seconds"] as const;

/** How soon to reconnect where the browser does not by itself: after a response that was not a stream. */
const RETRY_MS = 1_000;

export class LiveRun {
  readonly steps = new Series(COLUMNS);
  readonly evaluations: EvaluationJson[] = [];
  checkpoints: CheckpointJson[] = [];
  run: RunJson | undefined;
  /** Target tokens of all steps. */
  tokens = 0;
  /** Why there are no updates; empty: there are. */
  problem = "";
  readonly #changed: () => void;
  #source: EventSource | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;
  /** Ends a look. */
  #looked: (() => void) | undefined;
  /** It was read to its end, or there is no such run. */
  #isOver = false;

  /** `changed` is called at most once per frame. */
  constructor(
    readonly runId: string,
    changed: () => void,
  ) {
    this.#changed = changed;
  }

  /** Nothing will change any more. */
  get isOver(): boolean {
    return this.#isOver || (this.run !== undefined && hasEnded(this.run) && this.#isUpToDate);
  }

  /** Losses of evaluations, for the chart. */
  get marks(): Point[] {
    return this.evaluations.map(({ step = 0, loss }) => ({ x: step, y: loss ?? NaN }));
  }

  /** Until it is closed. */
  follow(): void {
    this.#connect();
  }

  /** Until it has what the run made so far, or cannot have it: a browser has few connections, too few to follow many runs. */
  async look(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#looked = resolve;
      this.#connect();
    });
  }

  close(): void {
    this.#endLook();
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /** It has all that the run, as it last came, says that there is. */
  get #isUpToDate(): boolean {
    const { step = 0, lastEvaluation } = this.run ?? {};
    const evaluated = this.evaluations.at(-1)?.step ?? 0;
    return (this.steps.last("step") ?? 0) >= step && evaluated >= (lastEvaluation?.step ?? 0);
  }

  #endLook(): void {
    this.#source?.close();
    this.#looked?.();
    this.#looked = undefined;
  }

  #connect(): void {
    const afterStep = this.steps.last("step") ?? 0;
    const source = new EventSource(`/api/runs/${encodeURIComponent(this.runId)}/events?after_step=${afterStep}`);
    this.#source = source;
    const on = <T>(event: string, take: (data: T) => void) =>
      source.addEventListener(event, ({ data }: MessageEvent<string>) => {
        take(JSON.parse(data) as T);
        this.#soon();
        if (this.#looked && this.#isUpToDate) this.#endLook();
      });
    on<RunJson>("run", (run) => (this.run = run));
    on<StepJson[]>("steps", (steps) => steps.forEach((step) => this.#onStep(step)));
    on<EvaluationJson>("evaluation", (evaluation) => this.#onEvaluation(evaluation));
    on<CheckpointJson>("checkpoint", (checkpoint) => this.#onCheckpoint(checkpoint));
    on("end", () => {
      this.#isOver = true;
      this.#endLook();
    });
    source.addEventListener("open", () => this.#say(""));
    source.addEventListener("error", () => {
      this.#say("The coordinator does not answer; updates resume when it does.");
      if (source.readyState === EventSource.CLOSED || this.#looked) void this.#retry();
    });
  }

  /** The browser gives up when the response is not a stream: the coordinator is starting, or the run does not exist. */
  async #retry(): Promise<void> {
    const response = await fetch(`/api/runs/${encodeURIComponent(this.runId)}`).catch(() => undefined);
    if (response?.status === 401) this.#say(NO_KEY);
    else if (response?.status === 404) {
      const { message } = (await response.json()) as { message: string };
      this.#isOver = true;
      this.#say(message);
    } else if (!this.#looked) this.#timer = setTimeout(() => this.#connect(), RETRY_MS);
    if (this.#looked) this.#endLook();
  }

  #onStep({ step = 0, loss = 0, gradNorm = 0, learningRate = 0, tokens = 0, seconds = 0 }: StepJson): void {
    // After an outage of the coordinator steps may be repeated: they are the same.
    if (step <= (this.steps.last("step") ?? 0)) return;
    this.tokens += tokens;
    const tokensPerSecond = seconds > 0 ? tokens / seconds : NaN;
    this.steps.push({ step, loss: loss ?? NaN, gradNorm: gradNorm ?? NaN, learningRate, seconds, tokensPerSecond });
  }

  #onEvaluation(evaluation: EvaluationJson): void {
    if ((evaluation.step ?? 0) > (this.evaluations.at(-1)?.step ?? -1)) this.evaluations.push(evaluation);
  }

  #onCheckpoint(checkpoint: CheckpointJson): void {
    const others = this.checkpoints.filter(({ path }) => path !== checkpoint.path);
    this.checkpoints = checkpoint.removed ? others : [...others, checkpoint];
  }

  #say(problem: string): void {
    this.problem = problem;
    this.#soon();
  }

  #soon(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#changed();
    });
  }
}
