import { EventEmitter, once } from "node:events";
import { GradpoolError } from "@gradpool/errors";
import { MLFLOW } from "@gradpool/recipe";
import { RunState, type Run, type WatchRunResponse } from "@gradpool/rpc";
import type { Change, History } from "../store/run-store.js";

const ENDED: ReadonlySet<RunState> = new Set([
  RunState.RUN_STATE_COMPLETED,
  RunState.RUN_STATE_FAILED,
  RunState.RUN_STATE_CANCELLED,
]);

export const hasEnded = ({ state }: Run): boolean => ENDED.has(state);

/** Whether the program that it asks to be reported to lacks something of it. */
export const isUnreported = ({ spec, reports }: Run): boolean =>
  spec?.reportTo.includes(MLFLOW) === true && !reports.some(({ to, complete }) => to === MLFLOW && complete);

/** What a run is doing right now: shown to users, not recorded. */
export type Doing = Pick<Run, "preparing" | "waitingFor">;

/** A run as it is recorded. Watchers read from it, so none needs a queue. */
export class RunRecord {
  #recorded: Run;
  #doing: Doing = { preparing: "", waitingFor: "" };
  /** Steps, evaluations and checkpoints in order of arrival; undefined: only in the store. */
  #history: History | undefined;
  /** Another coordinator has it now, and alone knows its steps. */
  #isOthers = false;
  /** Changes of the run; steps alone do not count. */
  #updates = 0;
  /** Number of its log entries. */
  #logged = 0;
  readonly #changes = new EventEmitter().setMaxListeners(0);

  constructor(run: Run, history?: History) {
    this.#recorded = run;
    this.#history = history;
  }

  /** Without what it is doing right now. */
  get recorded(): Run {
    return this.#recorded;
  }

  get run(): Run {
    return { ...this.#recorded, ...this.doing };
  }

  /** Undefined once it has ended. */
  get doing(): Doing | undefined {
    return this.hasEnded ? undefined : this.#doing;
  }

  get hasEnded(): boolean {
    return hasEnded(this.#recorded);
  }

  /** Number of its log entries so far: see loggedMore. */
  get logged(): number {
    return this.#logged;
  }

  /** Whether another coordinator records it. */
  get isOthers(): boolean {
    return this.#isOthers;
  }

  get history(): History | undefined {
    return this.#history;
  }

  /** Takes over what was recorded. */
  apply(change: Change): void {
    switch (change.type) {
      case "run":
        // A step is reported by the step itself.
        if (!isStepOnly(this.#recorded, change.run)) this.#updates += 1;
        this.#recorded = change.run;
        break;
      case "step":
        this.#history?.push({ $case: "step", value: change.step });
        break;
      case "evaluation":
        this.#history?.push({ $case: "evaluation", value: change.evaluation });
        break;
      case "checkpoint":
        this.#history?.push({ $case: "checkpoint", value: change.checkpoint });
        break;
      case "steps":
        this.#history = resumedHistory(this.#history ?? [], change);
        break;
      case "log":
        this.#logged += 1;
        break;
      default:
        break;
    }
    this.#changes.emit("change");
  }

  tell(doing: Partial<Doing>): void {
    const next = { ...this.#doing, ...doing };
    if (next.preparing === this.#doing.preparing && next.waitingFor === this.#doing.waitingFor) return;
    this.#doing = next;
    this.#updates += 1;
    this.#changes.emit("change");
  }

  /** Its steps and the like are recorded here from now on. */
  adopt(history: History): void {
    this.#history = history;
    this.#isOthers = false;
    this.#changes.emit("change");
  }

  /** Another coordinator records it from now on: what was known of its steps here is out of date, also for current watchers. */
  disown(): void {
    this.#history = undefined;
    this.#isOthers = true;
    this.#changes.emit("change");
  }

  /** From now on its history is read from the store. Current watchers keep theirs. */
  dropHistory(): void {
    this.#history = undefined;
  }

  /** Waits until the run has ended. Errors: `cancelled` when `signal` aborts first. */
  async ended(signal: AbortSignal): Promise<void> {
    while (!this.hasEnded) await once(this.#changes, "change", { signal });
  }

  /** Waits until its log has more than `logged`. Errors: `cancelled` when `signal` aborts first. */
  async loggedMore(logged: number, signal: AbortSignal): Promise<void> {
    while (this.#logged === logged) await once(this.#changes, "change", { signal });
  }

  /**
   * The run, its checkpoints, its steps after `afterStep` and its evaluations from there on, then what happens,
   * until it ends. A slow reader misses only intermediate states of the run. Errors: `cancelled` when `signal` aborts first, and
   * `unavailable` once another coordinator has the run.
   */
  async *watch(afterStep: number, signal: AbortSignal): AsyncGenerator<WatchRunResponse> {
    let updates = this.#updates;
    let history = this.#history ?? [];
    let place = 0;
    const isNews = newsAfter(afterStep);
    yield { update: { $case: "run", value: this.run } };
    for (;;) {
      if (this.#isOthers) throw changesHands(this.#recorded.runId);
      if (this.#history && history !== this.#history) {
        history = this.#history;
        place = 0;
      }
      const next = history[place];
      // How it ended comes last, other changes of the run first.
      if (updates !== this.#updates && !(this.hasEnded && next)) {
        updates = this.#updates;
        yield { update: { $case: "run", value: this.run } };
      } else if (next) {
        place += 1;
        if (isNews(next)) yield { update: next };
      } else if (this.hasEnded) {
        return;
      } else {
        await once(this.#changes, "change", { signal });
      }
    }
  }
}

export const changesHands = (runId: string): GradpoolError =>
  new GradpoolError("unavailable", `run ${runId} is changing hands; try again`);

/**
 * A run's history once it resumes after these steps and evaluations: a new one, in which watchers find their
 * place by what they have seen.
 */
export function resumedHistory(history: History, { steps, evaluations }: Change & { type: "steps" }): History {
  const lastEvaluated = evaluations.at(-1)?.step ?? 0;
  const kept = history.filter((update) => {
    if (update.$case === "step") return update.value.step <= steps.length;
    return update.$case !== "evaluation" || update.value.step <= lastEvaluated;
  });
  const known = (kind: History[number]["$case"]) => kept.filter(({ $case }) => $case === kind).length;
  return [
    ...kept,
    ...steps.slice(known("step")).map((value) => ({ $case: "step" as const, value })),
    ...evaluations.slice(known("evaluation")).map((value) => ({ $case: "evaluation" as const, value })),
  ];
}

/** Yields what a watcher has not seen, however often a run goes back and repeats steps. */
export function newsAfter(afterStep: number): (update: History[number]) => boolean {
  let lastStep = afterStep;
  let lastEvaluated = afterStep - 1;
  const seen = new Set<unknown>();
  return ({ $case, value }) => {
    if ($case === "step") {
      if (value.step <= lastStep) return false;
      lastStep = value.step;
    } else if ($case === "evaluation") {
      if (value.step <= lastEvaluated) return false;
      lastEvaluated = value.step;
    }
    if (seen.has(value)) return false;
    if ($case === "checkpoint") seen.add(value);
    return true;
  };
}

function isStepOnly(before: Run, after: Run): boolean {
  const { step, lastStep, tokens, rowCounts, lastEvaluation, bestEvaluation } = before;
  const same = { ...after, step, lastStep, tokens, rowCounts, lastEvaluation, bestEvaluation };
  return (Object.keys(same) as (keyof Run)[]).every((key) => same[key] === before[key]);
}
