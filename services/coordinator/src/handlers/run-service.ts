import { GradpoolError } from "@gradpool/errors";
import { RunState, type Handlers, type RunServiceService } from "@gradpool/rpc";
import type { Engine } from "../engine.js";
import type { RunRegistry } from "../run-registry.js";

export function runServiceHandlers(
  registry: RunRegistry,
  engine: Engine,
  stopping: AbortSignal,
): Handlers<RunServiceService> {
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
      yield* registry.get(runId).watch(afterStep, AbortSignal.any([signal, stopping]));
      if (stopping.aborted) throw new GradpoolError("unavailable", "the coordinator is stopping; watch again later");
    },
    async cancelRun({ requestId, runId }, { signal }) {
      const record = registry.cancel(requestId, runId);
      engine.cancel(runId);
      for await (const { update } of record.watch(0, signal)) {
        if (update?.$case === "run" && update.value.state === RunState.RUN_STATE_CANCELLED) break;
      }
      return { run: record.run };
    },
  };
}
