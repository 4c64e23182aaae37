import { GradpoolError } from "@gradpool/errors";
import type { Handlers, RunServiceService } from "@gradpool/rpc";
import type { Engine } from "../engine.js";
import type { RunRegistry } from "../run-registry.js";

export function runServiceHandlers(
  registry: RunRegistry,
  engine: Engine,
  stopping: AbortSignal,
): Handlers<RunServiceService> {
  /** A wait that ended because the coordinator stops may be tried again. */
  const explained = (error: unknown) => {
    if (!stopping.aborted) return error;
    return new GradpoolError("unavailable", "the coordinator is stopping; try again later", { cause: error });
  };
  return {
    async submitRun({ requestId, spec }) {
      const { record, created } = registry.submit(requestId, spec);
      if (created) engine.submit(created.runId, created.spec, created.recipe, created.record);
      return { run: record.run };
    },
    async getRun({ runId }) {
      return { run: registry.get(runId).run };
    },
    async listRuns() {
      return { runs: registry.list() };
    },
    async *watchRun({ runId, afterStep }, { signal }) {
      try {
        yield* registry.get(runId).watch(afterStep, AbortSignal.any([signal, stopping]));
      } catch (error) {
        throw explained(error);
      }
    },
    async cancelRun({ requestId, runId }, { signal }) {
      const record = registry.cancel(requestId, runId);
      engine.cancel(runId);
      await record.ended(AbortSignal.any([signal, stopping])).catch((error: unknown) => {
        throw explained(error);
      });
      return { run: registry.requireCancelled(record).run };
    },
  };
}
