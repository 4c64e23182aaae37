/** A coordinator's contracts without a coordinator: what a client meets is decided by the test. */
import { PoolKey } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import {
  EventServiceService,
  PoolServiceService,
  Run,
  RunServiceService,
  RunState,
  service,
  startServer,
  TrainerState,
  type Handlers,
  type RunningServer,
  type StepMetrics,
  type Trainer,
} from "@gradpool/rpc";

export function runOf(given: Partial<Run> = {}): Run {
  return {
    ...Run.create(),
    runId: "run-1",
    spec: { modelId: "/m", dataset: ["/d"], outputDir: "/out", ...NEW_START, recipe: defaultRecipe() },
    state: RunState.RUN_STATE_RUNNING,
    ...{ submittedAt: new Date(0), startedAt: new Date(1000) },
    ...{ totalSteps: 40, trainableParameters: 100, allParameters: 1000, rows: 80 },
    ...given,
  };
}

export const completed = () =>
  runOf({ state: RunState.RUN_STATE_COMPLETED, step: 40, tokens: 800, endedAt: new Date(9000) });

export function stepOf(step: number): StepMetrics {
  return { step, epoch: 0, loss: 3 - step / 100, gradNorm: 1, learningRate: 5e-5, tokens: 20, seconds: 0.1 };
}

export function trainerOf(given: Partial<Trainer> = {}): Trainer {
  return {
    trainerId: "trainer-1",
    device: "cpu",
    deviceClass: "cpu-x64",
    host: "here",
    pid: 4711,
    threads: 2,
    memoryBytes: 8e9,
    residentBytes: 1e9,
    version: "0.1.0",
    connectedAt: new Date(0),
    microBatches: 3,
    tokensPerSecond: 500,
    runId: "",
    state: TrainerState.TRAINER_STATE_ACTIVE,
    stateReason: "",
    deviceUse: 0.5,
    tasksElsewhere: 0,
    ...given,
  };
}

/** Of fake pools; `run` gives it to commands. */
export const key = new PoolKey("the-key-of-these-tests", "the tests");

const notExpected = (): never => {
  throw new GradpoolError("unimplemented", "the test did not expect this call");
};

export interface FakeHandlers {
  runs?: Partial<Handlers<RunServiceService>>;
  pool?: Partial<Handlers<PoolServiceService>>;
  events?: Handlers<EventServiceService>;
}

/** Serves the given RPCs at "host:port"; all others are refused. */
export function startFakePool({ runs, pool, events }: FakeHandlers, listen = "127.0.0.1:0"): Promise<RunningServer> {
  const everyRun = Object.fromEntries(Object.keys(RunServiceService).map((name) => [name, notExpected]));
  const everyPool = Object.fromEntries(Object.keys(PoolServiceService).map((name) => [name, notExpected]));
  return startServer({
    key,
    listen,
    services: [
      service(RunServiceService, { ...everyRun, ...runs } as unknown as Handlers<RunServiceService>),
      service(PoolServiceService, { ...everyPool, ...pool } as unknown as Handlers<PoolServiceService>),
      ...(events ? [service(EventServiceService, events)] : []),
    ],
    onInternalError: (error) => {
      throw error;
    },
  });
}
