/**
 * Transcripts of the core: commands, one a line, then "----" and what came of them, up to an empty line.
 *
 *   submit RUN [paused] · prepared RUN accumulation=N steps=N [done=N] [class=CLASS] [evaluate] [stopped]
 *   arrived RUN [COUNT] [last] · applied RUN [evaluate] · held-out RUN [COUNT] [last] · evaluated RUN [stop] · finished RUN
 *   failed RUN CODE MESSAGE · cancel RUN · pause RUN · resume RUN · trouble RUN REASON
 *   drain TRAINER · undrain TRAINER · join TRAINER [CLASS] [at=MS] · pull TRAINER N [at=MS] · heard TRAINER at=MS · left TRAINER · time MS lease=MS
 *   stop: the coordinator is to end
 *   result TASK [at=MS] · fail TASK [permanent|cancelled] MESSAGE [at=MS]
 *   state: prints what the core knows
 */
import type { Effect } from "../src/core/effects.js";
import { emptyPool, type Input, type PoolState, type TaskResult } from "../src/core/state.js";
import type { PoolFact } from "../src/core/facts.js";
import { transition } from "../src/core/transition.js";

const NOTHING: TaskResult = { lossSum: 0, targetTokens: 0, gradients: new Map(), computeMs: 0, waitMs: 0, fetchMs: 0 };

/** The transcript with its outcomes as they are now. */
export function replay(transcript: string): string {
  let state = emptyPool();
  const groups: Groups = new Map();
  const blocks = transcript.trimEnd().split(/\n\n+/);
  const replayed = blocks.map((block) => {
    const [commands = ""] = block.split("\n----");
    const lines: string[] = [];
    for (const line of commands.split("\n").filter((text) => text !== "" && !text.startsWith("#"))) {
      if (line === "state") {
        lines.push(...describe(state));
        continue;
      }
      for (const input of inputsOf(line, groups)) {
        const after = transition(state, input);
        state = after.state;
        lines.push(...after.facts.flatMap(factText), ...after.effects.map(effectText));
      }
    }
    return lines.length === 0 && commands.startsWith("#") && !commands.includes("\n")
      ? commands
      : [commands, "----", ...(lines.length > 0 ? lines : ["nothing"])].join("\n");
  });
  return `${replayed.join("\n\n")}\n`;
}

/** Of each run: micro-batches that make a step, and those of its next step that have arrived. */
type Groups = Map<string, { size: number; arrived: number }>;

function inputsOf(line: string, groups: Groups): Input[] {
  const words = line.split(" ");
  const named = new Map(words.filter((word) => word.includes("=")).map((word) => word.split("=") as [string, string]));
  const number = (name: string) => Number(named.get(name) ?? 0);
  const [command, subject = "", ...rest] = words.filter((word) => !word.includes("="));
  switch (command) {
    case "submit":
      return [{ type: "run-submitted", runId: subject, paused: rest.includes("paused") }];
    case "prepared": {
      groups.set(subject, { size: number("accumulation"), arrived: 0 });
      const flags = { evaluate: rest.includes("evaluate"), stopped: rest.includes("stopped") };
      const facts = { totalSteps: number("steps"), stepsDone: number("done"), ...flags };
      return [{ type: "run-prepared", runId: subject, ...facts, deviceClass: named.get("class") }];
    }
    case "held-out":
    case "arrived": {
      const count = Number(rest.find((word) => word !== "last") ?? 1);
      const last = rest.includes("last");
      return Array.from({ length: count }, (_, i) => {
        const isLast = last && i === count - 1;
        if (command === "held-out") return { type: "evaluation-batch-arrived", runId: subject, last: isLast };
        const group = groups.get(subject) ?? { size: 0, arrived: 0 };
        group.arrived += 1;
        const lastOfStep = isLast || group.arrived === group.size;
        if (lastOfStep) group.arrived = 0;
        return { type: "micro-batch-arrived", runId: subject, lastOfStep };
      });
    }
    case "stream-ended":
      return [{ type: "stream-ended", runId: subject, lastStep: Number(rest[0]) }];
    case "join":
      return [{ type: "trainer-joined", trainerId: subject, deviceClass: rest[0] ?? "cpu", nowMs: number("at") }];
    case "pull":
      return [{ type: "trainer-pulled", trainerId: subject, tasks: Number(rest[0]), nowMs: number("at") }];
    case "heard":
      return [{ type: "trainer-heard", trainerId: subject, nowMs: number("at") }];
    case "stop":
      return [{ type: "pool-stopping" }];
    case "share":
      return [{ type: "queue-shared", runs: Number(subject) }];
    case "left":
      return [{ type: "trainer-left", trainerId: subject }];
    case "time":
      return [{ type: "time-passed", nowMs: Number(subject), leaseMs: number("lease") }];
    case "result":
      return [{ type: "result-arrived", taskId: subject, result: NOTHING, nowMs: number("at") }];
    case "fail": {
      const kind = ["permanent", "cancelled"].find((word) => word === rest[0]);
      const message = rest.slice(kind ? 1 : 0).join(" ");
      const failure = { permanent: kind === "permanent", code: kind === "cancelled" ? kind : "internal", message };
      return [{ type: "task-failed", taskId: subject, ...failure, nowMs: number("at") }];
    }
    case "applied":
      return [{ type: "step-applied", runId: subject, evaluate: rest.includes("evaluate") }];
    case "evaluated":
      return [{ type: "evaluation-applied", runId: subject, stop: rest.includes("stop") }];
    case "finished":
      return [{ type: "run-finished", runId: subject }];
    case "failed":
      return [{ type: "run-failed", runId: subject, code: rest[0] ?? "", message: rest.slice(1).join(" ") }];
    case "pause":
      return [{ type: "run-paused", runId: subject }];
    case "resume":
      return [{ type: "run-resumed", runId: subject }];
    case "trouble":
      return [{ type: "run-troubled", runId: subject, reason: rest.join(" ") }];
    case "drain":
      return [{ type: "trainer-drained", trainerId: subject, draining: true }];
    case "undrain":
      return [{ type: "trainer-drained", trainerId: subject, draining: false }];
    case "cancel":
      return [{ type: "run-cancelled", runId: subject }];
    default:
      throw new Error(`a transcript has no command ${JSON.stringify(line)}`);
  }
}

/** Of what became so, only what people see of runs. */
function factText(fact: PoolFact): string[] {
  if (fact.type !== "run-state") return [];
  return [`run-state ${fact.runId}: ${fact.state}${fact.because && ` (${fact.because})`}`];
}

function effectText(effect: Effect): string {
  switch (effect.type) {
    case "assign":
      return `assign ${effect.task.taskId} to ${effect.trainerId}`;
    case "cancel-task":
      return `cancel-task ${effect.taskId} of ${effect.trainerId}`;
    case "accept-result":
      return `accept-result ${effect.task.taskId}`;
    case "drop-result":
      return `drop-result ${effect.taskId}`;
    case "open-evaluation":
    case "apply-evaluation":
      return `${effect.type} ${effect.runId}/${effect.step}`;
    case "apply-step":
      return `apply-step ${effect.runId}/${effect.step}`;
    case "end-run": {
      const why = effect.outcome === "failed" ? ` (${effect.code}: ${effect.message})` : "";
      return `end-run ${effect.runId}: ${effect.outcome}${why}`;
    }
    case "disconnect":
      return `disconnect ${effect.trainerId}`;
    case "pool-quiet":
      return effect.type;
    case "prepare":
    case "retry":
    case "give-up-run":
    case "open-stream":
    case "finish":
      return `${effect.type} ${effect.runId}`;
  }
}

function describe({ runs, trainers, tasks }: PoolState): string[] {
  return [
    ...runs.map((run) => {
      const group = run.group.map(({ status, late }) => (late ? "late" : status)).join(" ");
      const phase = run.evaluating ? "evaluating" : run.phase;
      return `run ${run.runId}: ${phase}, step ${run.step} of ${run.totalSteps} [${group}], ${run.ahead.length} ahead`;
    }),
    ...trainers.map(({ trainerId, deviceClass, credits, draining, quarantinedUntilMs }) => {
      const rests = quarantinedUntilMs > 0 ? `, rests until ${quarantinedUntilMs}` : "";
      return `trainer ${trainerId} (${deviceClass}): room for ${credits}${draining ? ", draining" : ""}${rests}`;
    }),
    ...tasks.map(({ taskId, trainerId }) => `task ${taskId} at ${trainerId}`),
  ];
}
