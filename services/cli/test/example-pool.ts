/** A pool with a bit of everything, for the document of the command line. */
import { GradpoolError } from "@gradpool/errors";
import { RunState, TrainerState, type Evaluation, type Run, type WatchRunResponse } from "@gradpool/rpc";
import { runOf, startFakePool, stepOf, trainerOf } from "./fake-pool.js";

const EVALUATION: Evaluation = { step: 20, epoch: 0, loss: 2.9, perplexity: 18.2, tokens: 900, seconds: 1.5 };

/** Every field that a run may have. */
export const FULL_RUN: Run = runOf({
  runId: "run-2",
  state: RunState.RUN_STATE_PAUSED,
  step: 20,
  lastStep: stepOf(20),
  tokens: 400,
  endedAt: new Date(9000),
  error: { code: "internal", message: "it broke; fix it" },
  preparing: "counting",
  pausedBecause: "the disk is full",
  waitingFor: "a trainer",
  notes: ["it was interrupted and resumed after step 10"],
  reports: [{ to: "mlflow", url: "http://mlflow:5000/#/experiments/1/runs/4f", problem: "", complete: true }],
  resumedFrom: { path: "/out/checkpoint-epoch0-step10", epoch: 0, step: 10, weightsOnly: false },
  lastEvaluation: EVALUATION,
  bestEvaluation: EVALUATION,
  stoppedEarly: true,
  traceId: "0af7651916cd43dd8448eb211c80319c",
  livesWithoutProgress: 1,
  begunInLives: [],
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  spec: {
    ...runOf().spec!,
    reportTo: ["mlflow"],
    runName: "rank-16",
    tags: ["sweep", "rank"],
    evalDataset: ["/held-out"],
    resumeFrom: "latest",
    resumeIfExists: true,
  },
});

/** What the transcripts list. */
const RUNS = [
  runOf({
    runId: "run-2",
    spec: { ...runOf().spec!, runName: "rank-16", tags: ["sweep", "rank"] },
    step: 12,
    lastStep: stepOf(12),
    submittedAt: new Date("2026-01-31T12:00:00Z"),
  }),
  runOf({
    runId: "run-1",
    state: RunState.RUN_STATE_COMPLETED,
    step: 40,
    lastStep: stepOf(40),
    submittedAt: new Date("2026-01-31T11:00:00Z"),
  }),
];

export const startExamplePool = () =>
  startFakePool({
    runs: {
      listRuns: async ({ states, runName, tags }) => ({
        runs: RUNS.filter(({ state, spec }) => {
          const isTagged = tags.every((tag) => spec?.tags.includes(tag));
          return (states.length === 0 || states.includes(state)) && spec?.runName.includes(runName) && isTagged;
        }),
        nextPageToken: "",
      }),
      getRun: async ({ runId }) => {
        if (runId !== FULL_RUN.runId) throw new GradpoolError("not_found", `there is no run ${runId}`);
        return { run: FULL_RUN };
      },
      submitRun: async () => ({ run: runOf({ runId: "run-3" }) }),
      watchRun: async function* (): AsyncGenerator<WatchRunResponse> {
        yield { update: { $case: "run", value: runOf({ runId: "run-1", step: 1 }) } };
        yield { update: { $case: "step", value: stepOf(1) } };
        yield { update: { $case: "evaluation", value: EVALUATION } };
        yield { update: { $case: "checkpoint", value: { path: "/out/c", step: 1, epoch: 0, removed: false } } };
        yield { update: { $case: "run", value: { ...RUNS[1]!, endedAt: new Date(9000) } } };
      },
    },
    pool: {
      listTrainers: async () => ({ trainers: [trainerOf()] }),
      drainTrainer: async () => ({
        trainer: trainerOf({ state: TrainerState.TRAINER_STATE_QUARANTINED, stateReason: "3 failures in a row" }),
      }),
      getPool: async () => ({
        services: [
          { name: "coordinator", address: "10.0.0.1:7070", serving: true, problem: "", startedAt: new Date(0) },
          { name: "tokenizer", address: "10.0.0.1:7071", serving: false, problem: "gone", startedAt: undefined },
        ],
        trainers: [trainerOf()],
        activeRuns: 1,
        pausedRuns: 0,
      }),
    },
  });
