/** Maps requests to RPCs: the handlers are those of gRPC, the bodies proto3 JSON. */
import { GradpoolError } from "@gradpool/errors";
import {
  CancelRunRequest,
  CancelRunResponse,
  DrainTrainerRequest,
  DrainTrainerResponse,
  GetPoolResponse,
  GetRunResponse,
  ListRunsResponse,
  ListTrainersResponse,
  PauseRunRequest,
  PauseRunResponse,
  ResumeRunRequest,
  ResumeRunResponse,
  SubmitRunRequest,
  SubmitRunResponse,
  UndrainTrainerRequest,
  UndrainTrainerResponse,
  type CallContext,
  type Handlers,
  type PoolServiceService,
  type RunServiceService,
} from "@gradpool/rpc";

export interface ApiHandlers {
  runs: Handlers<RunServiceService>;
  pool: Handlers<PoolServiceService>;
}

export interface ApiCall {
  method: "GET" | "POST";
  /** Of the URL; ":id" stands for one segment. */
  path: string;
  /** `body`: the request's JSON, an empty object for GET. Returns the response's JSON. */
  call: (id: string, body: Readonly<Record<string, unknown>>, context: CallContext) => Promise<unknown>;
}

/** Ties a path to an RPC. */
function rpc<Request, Response>(
  method: ApiCall["method"],
  path: string,
  handle: (request: Request, context: CallContext) => Promise<Response>,
  request: (id: string, body: Readonly<Record<string, unknown>>) => Request,
  response: { toJSON(message: Response): unknown },
): ApiCall {
  return {
    ...{ method, path },
    call: async (id, body, context) => response.toJSON(await handle(readable(request, id, body), context)),
  };
}

/** ts-proto's reader throws plain errors for what no enum or oneof has. */
function readable<Request>(
  read: (id: string, body: Readonly<Record<string, unknown>>) => Request,
  id: string,
  body: object,
) {
  try {
    return read(id, body as Readonly<Record<string, unknown>>);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new GradpoolError("invalid_argument", `the body is not a valid request: ${what}`, { cause });
  }
}

export function apiCalls({ runs, pool }: ApiHandlers): ApiCall[] {
  return [
    rpc("GET", "/api/pool", pool.getPool, () => ({}), GetPoolResponse),
    rpc("GET", "/api/trainers", pool.listTrainers, () => ({}), ListTrainersResponse),
    rpc("GET", "/api/runs", runs.listRuns, () => ({}), ListRunsResponse),
    rpc("POST", "/api/runs", runs.submitRun, (_, body) => SubmitRunRequest.fromJSON(body), SubmitRunResponse),
    rpc("GET", "/api/runs/:id", runs.getRun, (runId) => ({ runId }), GetRunResponse),
    rpc(
      ...(["POST", "/api/runs/:id/pause", runs.pauseRun] as const),
      (runId, body) => PauseRunRequest.fromJSON({ ...body, runId }),
      PauseRunResponse,
    ),
    rpc(
      ...(["POST", "/api/runs/:id/resume", runs.resumeRun] as const),
      (runId, body) => ResumeRunRequest.fromJSON({ ...body, runId }),
      ResumeRunResponse,
    ),
    rpc(
      ...(["POST", "/api/runs/:id/cancel", runs.cancelRun] as const),
      (runId, body) => CancelRunRequest.fromJSON({ ...body, runId }),
      CancelRunResponse,
    ),
    rpc(
      ...(["POST", "/api/trainers/:id/drain", pool.drainTrainer] as const),
      (trainerId, body) => DrainTrainerRequest.fromJSON({ ...body, trainerId }),
      DrainTrainerResponse,
    ),
    rpc(
      ...(["POST", "/api/trainers/:id/undrain", pool.undrainTrainer] as const),
      (trainerId, body) => UndrainTrainerRequest.fromJSON({ ...body, trainerId }),
      UndrainTrainerResponse,
    ),
  ];
}

/** The call for a path, and its id; undefined: there is none. */
export function findCall(
  calls: readonly ApiCall[],
  method: string,
  path: string,
): { call: ApiCall; id: string } | undefined {
  for (const call of calls) {
    if (call.method !== method) continue;
    const match = new RegExp(`^${call.path.replace(":id", "([^/]+)")}$`).exec(path);
    if (match) return { call, id: decoded(match[1] ?? "") };
  }
  return undefined;
}

/** Errors: `invalid_argument`. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new GradpoolError("invalid_argument", "the path cannot be decoded; percent-encode its segments", { cause });
  }
}
