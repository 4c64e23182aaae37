import { GradpoolError } from "@gradpool/errors";
import {
  CancelRunRequest,
  PauseRunRequest,
  ResumeRunRequest,
  RunState,
  SubmitRunRequest,
  type Handlers,
  type Run,
  type RunServiceService,
} from "@gradpool/rpc";
import { activeTraceparent, inSpan } from "@gradpool/tracing";
import type { Engine } from "../engine.js";
import { contentOf, type Requests } from "../requests.js";
import type { RunRegistry } from "../run-registry.js";

/** As packages/rpc names it for clients with a trace. */
const SUBMIT_SPAN = "gradpool.v1.RunService/SubmitRun";

export interface RunServiceParts {
  registry: RunRegistry;
  engine: Engine;
  requests: Requests;
  /** Aborted when the coordinator stops. */
  stopping: AbortSignal;
}

export function runServiceHandlers({
  registry,
  engine,
  requests,
  stopping,
}: RunServiceParts): Handlers<RunServiceService> {
  /** A wait that ended because the coordinator stops may be tried again. */
  const explained = (error: unknown) => {
    if (!stopping.aborted) return error;
    return new GradpoolError("unavailable", "the coordinator is stopping; try again later", { cause: error });
  };

  const refuseWhenStopping = () => {
    if (stopping.aborted) throw explained(undefined);
  };

  /** Tells the core of what a client wants of a run, once per request, and gives the run as it is then. */
  const ask = async (rpc: string, message: Uint8Array, requestId: string, event: RunWish): Promise<Run> => {
    refuseWhenStopping();
    const record = registry.get(event.runId);
    await requests.once(requestId, contentOf(rpc, message), async (request) => {
      requireUnfinished(record.run, event.type);
      await engine.happen({ event, changes: [request(event.runId)] });
      stopping.throwIfAborted();
      return event.runId;
    });
    return record.run;
  };

  return {
    async submitRun({ requestId, spec }) {
      refuseWhenStopping();
      const content = contentOf("SubmitRun", SubmitRunRequest.encode({ requestId: "", spec }).finish());
      const submit = () =>
        requests.once(requestId, content, (request) => engine.submit(spec, (submitted) => [request(submitted)]));
      // A run's trace begins here, unless its client began one.
      const traced = activeTraceparent() === "" ? inSpan(SUBMIT_SPAN, { kind: "server" }, submit) : submit();
      const runId = await traced.catch((error: unknown) => {
        throw explained(error);
      });
      if (runId === "") throw explained(new GradpoolError("cancelled", "cancelled"));
      return { run: registry.get(runId).run };
    },
    async getRun({ runId }) {
      return { run: registry.get(runId).run };
    },
    async listRuns() {
      return { runs: registry.list() };
    },
    async *watchRun({ runId, afterStep }, { signal }) {
      try {
        yield* registry.watch(runId, afterStep, AbortSignal.any([signal, stopping]));
      } catch (error) {
        throw explained(error);
      }
    },
    async *watchRunLog({ runId, afterNumber, follow }, { signal }) {
      const entries = registry.watchLog(runId, afterNumber, follow, AbortSignal.any([signal, stopping]));
      registry.get(runId);
      yield { entry: undefined };
      try {
        for await (const entry of entries) yield { entry };
      } catch (error) {
        throw explained(error);
      }
    },
    async pauseRun({ requestId, runId }) {
      const message = PauseRunRequest.encode({ requestId: "", runId }).finish();
      return { run: await ask("PauseRun", message, requestId, { type: "run-paused", runId }) };
    },
    async resumeRun({ requestId, runId }) {
      const message = ResumeRunRequest.encode({ requestId: "", runId }).finish();
      return { run: await ask("ResumeRun", message, requestId, { type: "run-resumed", runId }) };
    },
    async cancelRun({ requestId, runId }, { signal }) {
      const message = CancelRunRequest.encode({ requestId: "", runId }).finish();
      const record = registry.get(runId);
      await ask("CancelRun", message, requestId, { type: "run-cancelled", runId });
      // Asked for before, and perhaps interrupted: the run's end is what counts.
      if (!record.hasEnded) await engine.happen({ event: { type: "run-cancelled", runId } });
      await record.ended(AbortSignal.any([signal, stopping])).catch((error: unknown) => {
        throw explained(error);
      });
      requireUnfinished(record.run, "run-cancelled");
      return { run: record.run };
    },
  };
}

type RunWish = { type: "run-paused" | "run-resumed" | "run-cancelled"; runId: string };

const VERBS = { "run-paused": "pause", "run-resumed": "resume", "run-cancelled": "cancel" };

/** Errors: `failed_precondition` when the run has ended, unless it was cancelled and that is the wish. */
function requireUnfinished(run: Run, wish: RunWish["type"]): void {
  const how = ENDS[run.state];
  if (how === undefined || (wish === "run-cancelled" && run.state === RunState.RUN_STATE_CANCELLED)) return;
  const message = `run ${run.runId} has ${how} already; there is nothing to ${VERBS[wish]}`;
  throw new GradpoolError("failed_precondition", message);
}

const ENDS: Partial<Record<RunState, string>> = {
  [RunState.RUN_STATE_COMPLETED]: "completed",
  [RunState.RUN_STATE_FAILED]: "failed",
  [RunState.RUN_STATE_CANCELLED]: "been cancelled",
};
