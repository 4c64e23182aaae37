import {
  CHUNK_BYTES,
  DrainTrainerRequest,
  RunState,
  UndrainTrainerRequest,
  type Handlers,
  type PoolServiceService,
  type ServiceStatus,
  type Trainer,
} from "@gradpool/rpc";
import { contentOf, type Requests } from "../record/requests.js";
import type { RunRegistry } from "../record/run-registry.js";
import type { RunStore } from "../store/run-store.js";
import type { TrainerPool } from "../trainer-pool.js";

export interface PoolServiceParts {
  registry: RunRegistry;
  trainers: TrainerPool;
  requests: Requests;
  store: RunStore;
  /** The services that the coordinator calls, by name. */
  services: ReadonlyMap<string, string>;
  /** Checks one of them, at "host:port": empty when it serves. */
  problemAt: (address: string) => Promise<string>;
  startedAt: Date;
  /** "host:port" of the coordinator itself, once it listens. */
  address: () => string;
}

export function poolServiceHandlers(parts: PoolServiceParts): Handlers<PoolServiceService> {
  const { registry, trainers, requests, store, services, problemAt, startedAt, address } = parts;

  const drain = async (draining: boolean, requestId: string, trainerId: string): Promise<Trainer> => {
    const { encode } = draining ? DrainTrainerRequest : UndrainTrainerRequest;
    const content = contentOf(`drain ${draining}`, encode({ requestId: "", trainerId }).finish());
    await requests.once(requestId, content, async (answered) => {
      await trainers.drain(trainerId, draining, answered(trainerId));
      return trainerId;
    });
    return trainers.trainer(trainerId);
  };

  return {
    async getPool() {
      const self = { name: "coordinator", address: address(), serving: true, problem: "", startedAt };
      const others = [...services].map(async ([name, target]): Promise<ServiceStatus> => {
        const problem = await problemAt(target);
        return { name, address: target, serving: problem === "", problem, startedAt: undefined };
      });
      const unfinished = registry.unfinished;
      const paused = unfinished.filter(({ run }) => run.state === RunState.RUN_STATE_PAUSED);
      return {
        services: [self, ...(await Promise.all(others))],
        trainers: trainers.trainers(),
        activeRuns: unfinished.length,
        pausedRuns: paused.length,
      };
    },
    async listTrainers() {
      return { trainers: trainers.trainers() };
    },
    async drainTrainer({ requestId, trainerId }) {
      return { trainer: await drain(true, requestId, trainerId) };
    },
    async undrainTrainer({ requestId, trainerId }) {
      return { trainer: await drain(false, requestId, trainerId) };
    },
    async *backUp() {
      await using copy = await store.backUp();
      let { size: sizeBytes } = await copy.stat();
      for await (const data of copy.createReadStream({ highWaterMark: CHUNK_BYTES, autoClose: false })) {
        yield { sizeBytes, data: data as Buffer };
        sizeBytes = 0;
      }
    },
    verifyRunStore: () => store.check(),
  };
}
