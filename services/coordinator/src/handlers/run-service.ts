import type { Roots } from "@gradpool/access";
import {
  CancelRunRequest,
  PauseRunRequest,
  ResumeRunRequest,
  RunState,
  type Handlers,
  type RunServiceService,
} from "@gradpool/rpc";
import type { RunRegistry } from "../record/run-registry.js";
import type { RunCommands, Wish } from "../run-commands.js";
import { checkPlaces } from "../runs/spec.js";

const PAUSE: Wish = {
  ...{ rpc: "PauseRun", verb: "pause", message: PauseRunRequest },
  input: (runId) => ({ type: "run-paused", runId }),
};
const RESUME: Wish = {
  ...{ rpc: "ResumeRun", verb: "resume", message: ResumeRunRequest },
  input: (runId) => ({ type: "run-resumed", runId }),
};
const CANCEL: Wish = {
  ...{ rpc: "CancelRun", verb: "cancel", message: CancelRunRequest, fulfilled: RunState.RUN_STATE_CANCELLED },
  input: (runId) => ({ type: "run-cancelled", runId }),
};

export interface RunServiceParts {
  registry: RunRegistry;
  commands: RunCommands;
  /** What runs may name. */
  roots: Roots;
  /** Aborted when the coordinator stops. */
  stopping: AbortSignal;
}

export function runServiceHandlers({
  registry,
  commands,
  roots,
  stopping,
}: RunServiceParts): Handlers<RunServiceService> {
  return {
    async submitRun({ requestId, spec }) {
      if (spec) await checkPlaces(spec, roots);
      return { run: await commands.submit(requestId, spec) };
    },
    async pauseRun(request) {
      return { run: await commands.ask(PAUSE, request) };
    },
    async resumeRun(request) {
      return { run: await commands.ask(RESUME, request) };
    },
    async cancelRun(request, { signal }) {
      return { run: await commands.askForEnd(CANCEL, request, signal) };
    },
    async deleteRun(request) {
      await commands.delete(request);
      return {};
    },
    async getRun({ runId }) {
      return { run: registry.get(runId).run };
    },
    async listRuns(request) {
      return registry.page(request);
    },
    async *watchRun({ runId, afterStep }, { signal }) {
      try {
        yield* registry.watch(runId, afterStep, AbortSignal.any([signal, stopping]));
      } catch (error) {
        throw commands.explained(error);
      }
    },
    async *watchRunLog({ runId, afterNumber, follow }, { signal }) {
      const entries = registry.watchLog(runId, afterNumber, follow, AbortSignal.any([signal, stopping]));
      registry.get(runId);
      yield { entry: undefined };
      try {
        for await (const entry of entries) yield { entry };
      } catch (error) {
        throw commands.explained(error);
      }
    },
  };
}
