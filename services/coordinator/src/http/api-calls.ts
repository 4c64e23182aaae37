/** Maps requests to RPCs: the handlers are those of gRPC, the bodies proto3 JSON. */
import { GradpoolError } from "@gradpool/errors";
import {
  CancelRunRequest,
  CancelRunResponse,
  DeleteRunRequest,
  DeleteRunResponse,
  DrainTrainerRequest,
  DrainTrainerResponse,
  GetPoolResponse,
  GetRunResponse,
  ListRunsRequest,
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
  /** Returns the response's JSON. */
  call: (given: Given, context: CallContext) => Promise<unknown>;
}

/** What a request has. */
export interface Given {
  id: string;
  /** Its JSON; an empty object for GET. */
  body: Readonly<Record<string, unknown>>;
  query: URLSearchParams;
}

/** Ties a path to an RPC. */
function rpc<Request, Response>(
  method: ApiCall["method"],
  path: string,
  handle: (request: Request, context: CallContext) => Promise<Response>,
  request: (given: Given) => Request,
  response: { toJSON(message: Response): unknown },
): ApiCall {
  return {
    ...{ method, path },
    call: async (given, context) => response.toJSON(await handle(readable(request, given), context)),
  };
}

/** ts-proto's reader throws plain errors for what no enum or oneof has. */
function readable<Request>(read: (given: Given) => Request, given: Given) {
  try {
    return read(given);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new GradpoolError("invalid_argument", `this is not a valid request: ${what}`, { cause });
  }
}

export function apiCalls({ runs, pool }: ApiHandlers): ApiCall[] {
  return [
    rpc("GET", "/api/pool", pool.getPool, () => ({}), GetPoolResponse),
    rpc("GET", "/api/trainers", pool.listTrainers, () => ({}), ListTrainersResponse),
    rpc("GET", "/api/runs", runs.listRuns, ({ query }) => listRequest(query), ListRunsResponse),
    rpc("POST", "/api/runs", runs.submitRun, ({ body }) => SubmitRunRequest.fromJSON(body), SubmitRunResponse),
    rpc("GET", "/api/runs/:id", runs.getRun, ({ id: runId }) => ({ runId }), GetRunResponse),
    rpc(
      ...(["POST", "/api/runs/:id/pause", runs.pauseRun] as const),
      ({ id: runId, body }) => PauseRunRequest.fromJSON({ ...body, runId }),
      PauseRunResponse,
    ),
    rpc(
      ...(["POST", "/api/runs/:id/resume", runs.resumeRun] as const),
      ({ id: runId, body }) => ResumeRunRequest.fromJSON({ ...body, runId }),
      ResumeRunResponse,
    ),
    rpc(
      ...(["POST", "/api/runs/:id/cancel", runs.cancelRun] as const),
      ({ id: runId, body }) => CancelRunRequest.fromJSON({ ...body, runId }),
      CancelRunResponse,
    ),
    rpc(
      ...(["POST", "/api/runs/:id/delete", runs.deleteRun] as const),
      ({ id: runId, body }) => DeleteRunRequest.fromJSON({ ...body, runId }),
      DeleteRunResponse,
    ),
    rpc(
      ...(["POST", "/api/trainers/:id/drain", pool.drainTrainer] as const),
      ({ id: trainerId, body }) => DrainTrainerRequest.fromJSON({ ...body, trainerId }),
      DrainTrainerResponse,
    ),
    rpc(
      ...(["POST", "/api/trainers/:id/undrain", pool.undrainTrainer] as const),
      ({ id: trainerId, body }) => UndrainTrainerRequest.fromJSON({ ...body, trainerId }),
      UndrainTrainerResponse,
    ),
  ];
}

/** page_size, page_token, view, run_name, and states and tags as often as there are. */
const listRequest = (query: URLSearchParams): ListRunsRequest =>
  ListRunsRequest.fromJSON({
    pageSize: query.get("page_size"),
    pageToken: query.get("page_token"),
    view: query.get("view"),
    states: query.getAll("states"),
    runName: query.get("run_name"),
    tags: query.getAll("tags"),
  });

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
