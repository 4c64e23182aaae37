/**
 * Processor time of the coordinator's core: a step's micro-batches arrive, are handed out, computed and counted. Prints what one
 * micro-batch costs, and a look at the time. Usage: node core-cost.js [TRAINERS] [RUNS] [MICRO_BATCHES_OF_A_STEP]
 */
import { emptyPool, type Input, type Task } from "../src/core/state.js";
import { transition } from "../src/core/transition.js";

const MEASURED = 4_000;

const [trainers = 1_000, runs = 32, accumulation = 64] = process.argv.slice(2).map(Number);
let state = emptyPool();
let nowMs = 0;
const assigned: Task[] = [];

function happen(input: Input): void {
  const next = transition(state, { nowMs, ...input });
  state = next.state;
  for (const effect of next.effects) {
    if (effect.type === "assign") assigned.push(effect.task);
    if (effect.type === "apply-step") {
      happen({ type: "step-applied", runId: effect.runId, evaluate: false });
      arrive(effect.runId);
    }
  }
}

function arrive(runId: string): void {
  for (let i = 1; i <= accumulation; i++) {
    happen({ type: "micro-batch-arrived", runId, lastOfStep: i === accumulation });
  }
}

function compute(count: number): void {
  const result = { lossSum: 1, targetTokens: 1, gradients: new Map(), computeMs: 1, waitMs: 1, fetchMs: 1 };
  for (let i = 0; i < count; i++) {
    const task = assigned.shift();
    if (!task) throw new Error("no trainer has work");
    nowMs += 1;
    happen({ type: "result-arrived", taskId: task.taskId, result });
    happen({ type: "trainer-pulled", trainerId: task.trainerId, tasks: 1 });
  }
}

/** In milliseconds of processor time. */
function cost(times: number, work: () => void): string {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) / 1000 / times).toFixed(3);
}

for (let i = 0; i < trainers; i++) happen({ type: "trainer-joined", trainerId: `t${i}`, deviceClass: "cpu" });
const prepared = { totalSteps: 1e9, stepsDone: 0, deviceClass: undefined, evaluate: false, stopped: false };
for (let i = 0; i < runs; i++) {
  happen({ type: "run-submitted", runId: `r${i}` });
  happen({ type: "run-prepared", runId: `r${i}`, ...prepared });
  arrive(`r${i}`);
}
for (let i = 0; i < trainers; i++) happen({ type: "trainer-pulled", trainerId: `t${i}`, tasks: 1 });
compute(1_000);
const microBatch = cost(MEASURED, () => compute(MEASURED));
const tick = cost(20, () => {
  for (let i = 0; i < 20; i++) happen({ type: "time-passed", leaseMs: Infinity });
});
const what = `${trainers} trainers, ${runs} runs, ${accumulation} micro-batches a step`;
process.stdout.write(`${what}: ${microBatch} ms a micro-batch, ${tick} ms a look at the time\n`);
