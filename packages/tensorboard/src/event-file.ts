/** A run's scalars as TensorBoard reads them. */
import { Event } from "./gen/event.js";
import { framed } from "./record.js";

/**
 * TensorBoard reads every file with "tfevents" in its name. This one has no time or machine in it: a resumed run
 * replaces its file, so no step is ever shown twice.
 */
export const EVENT_FILE = "events.out.tfevents.gradpool";

/** What charts show of an optimizer step. */
export interface ChartedStep {
  /** From 1. */
  step: number;
  /** Mean negative log likelihood per target token, in nats. */
  loss: number;
  learningRate: number;
  gradNorm: number;
  /** Target tokens. */
  tokens: number;
  /** Wall time that it took. */
  seconds: number;
}

/** An evaluation on held-out data, after `step` steps. */
export interface ChartedEvaluation {
  step: number;
  loss: number;
  perplexity: number;
  /** Wall time that it took. */
  seconds: number;
}

/**
 * The records of an event file, under the tags of transformers' TensorBoardCallback ("train/loss", "eval/loss"). The
 * same steps, evaluations and start give the same bytes. A record's time is `startMs` (since 1970) and what its steps
 * and evaluations took; pauses between them do not count.
 */
export function* eventRecords(
  steps: readonly ChartedStep[],
  evaluations: readonly ChartedEvaluation[],
  startMs: number,
): Generator<Uint8Array> {
  let wallTime = startMs / 1000;
  yield record({ wallTime, step: 0, what: { $case: "fileVersion", value: "brain.Event:2" } });
  const scalarsAt = (step: number, seconds: number, scalars: Record<string, number>) => {
    wallTime += seconds;
    const value = Object.entries(scalars).map(([tag, simpleValue]) => ({ tag, simpleValue }));
    return record({ wallTime, step, what: { $case: "summary", value: { value } } });
  };
  let next = 0;
  /** Evaluations come after their step. */
  const evaluationsTo = function* (lastStep: number) {
    for (; next < evaluations.length; next++) {
      const { step, loss, perplexity, seconds } = evaluations[next]!;
      if (step > lastStep) return;
      yield scalarsAt(step, seconds, { "eval/loss": loss, "eval/perplexity": perplexity });
    }
  };
  for (const { step, loss, learningRate, gradNorm, tokens, seconds } of steps) {
    yield* evaluationsTo(step - 1);
    yield scalarsAt(step, seconds, {
      "train/loss": loss,
      "train/grad_norm": gradNorm,
      "train/learning_rate": learningRate,
      // Without elapsed time there is no speed.
      ...(seconds > 0 && { "train/tokens_per_second": tokens / seconds }),
    });
  }
  yield* evaluationsTo(Infinity);
}

const record = (event: Event) => framed(Event.encode(event).finish());
