import type { ReflectionService } from "@grpc/reflection";
import {
  Server as GrpcServer,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { bindEvery, type Certificates, type PoolKey } from "@gradpool/access";
import { boundedCalls } from "./bounded-calls.js";
import { Connections } from "./connections.js";
import { serverCredentials } from "./credentials.js";
import { serverSpans } from "./call-spans.js";
import { FILE_DESCRIPTORS } from "./gen/descriptors.js";
import { chain, onlyResponse, type Interceptor, type Next } from "./interceptor.js";
import { keyCheck } from "./key-check.js";
import type { AnyMethod, CallContext, Definition, Handlers } from "./methods.js";
import { GRPC_LIMITS, SERVER_LIMITS, type ServerLimits } from "./server-limits.js";
import { errorsToStatus, fromStatus } from "./status.js";
import { writeAll } from "./streams.js";

export interface ServedService {
  /** The generated definition, such as `TokenizerServiceService`. */
  definition: Definition;
  handlers: Record<string, unknown>;
  /** For this service's calls only, after those of the server. */
  interceptors: readonly Interceptor[];
}

/** Ties handlers to their definition, with types. */
export function service<S extends Definition>(
  definition: S,
  handlers: Handlers<S>,
  ...interceptors: Interceptor[]
): ServedService {
  return { definition, handlers, interceptors };
}

export interface ServerOptions {
  /** "host:port"; port 0 takes any free one. */
  listen: string;
  services: ServedService[];
  /** For every call, health checks and reflection included; the first is the outermost. */
  interceptors?: readonly Interceptor[];
  /** Asked of every call but health checks. */
  key: PoolKey;
  /** Undefined: connections are plain text. */
  tls?: Certificates | undefined;
  /** Called for each call without it, such as "/gradpool.v1.RunService/SubmitRun". */
  onRefused?: (method: string) => void;
  /** Called with errors that are the server's own fault. */
  onInternalError: (error: unknown, method: string) => void;
  /** How long open calls may continue after shutdown began; 2 s unless given. */
  shutdownGraceMs?: number | undefined;
  /** SERVER_LIMITS unless given. */
  limits?: Partial<ServerLimits> | undefined;
}

export interface RunningServer extends AsyncDisposable {
  /** "host:port" with the real port. */
  address: string;
  /** Health checks say NOT_SERVING from now on; calls are answered until it is disposed. */
  notServing(): void;
}

/** What grpc-js gives handlers: the union of its four kinds, of which each method uses its own. */
type GrpcCall = ServerDuplexStream<unknown, unknown> & Pick<ServerUnaryCall<unknown, unknown>, "request">;
type ForeignHandler = (call: GrpcCall, respond: sendUnaryData<unknown>) => void;

const SHUTDOWN_GRACE_MS = 2_000;

/**
 * What reflection serves: buf's descriptors. Those that proto-loader makes lack the imports
 * between them, so that grpcurl cannot read them.
 */
const DESCRIBED = {
  contracts: { fileDescriptorProtos: FILE_DESCRIPTORS.map((descriptor) => Buffer.from(descriptor, "base64")) },
} as unknown as ConstructorParameters<typeof ReflectionService>[0];

/** Starts a gRPC server with health checks and reflection. Errors: `unavailable` when the port is taken. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  // Clients, who import this file with the rest of the package, need not wait for them.
  const { HealthImplementation } = (await import("grpc-health-check")).default;
  const { ReflectionService } = (await import("@grpc/reflection")).default;
  const limits = { ...SERVER_LIMITS, ...options.limits };
  const connections = new Connections(limits, (socket) => injector.injectConnection(socket));
  const { key, onRefused } = options;
  // The first is next to the wire.
  const interceptors = [boundedCalls(limits), keyCheck({ key, onRefused, connections })];
  const server = new GrpcServer({ ...GRPC_LIMITS, interceptors });
  const injector = server.createConnectionInjector(serverCredentials(options.tls));
  const links = [errorsToStatus(options.onInternalError), serverSpans, ...(options.interceptors ?? [])];
  const names = new Set<string>();
  for (const { definition, handlers, interceptors } of options.services) {
    addMethods(server, definition, (name, method) => {
      names.add(method.path.split("/")[1] ?? "");
      const next = chain([...links, ...interceptors], lastOf(handlers[name], method));
      return () => next;
    });
  }
  // These two have handlers for a grpc-js server: here they are put into the chain.
  const behindTheChain = {
    addService: (definition: Definition, handlers: Record<string, ForeignHandler>) =>
      addMethods(server, definition, (name, method) => {
        const handler = handlers[name] ?? handlers[method.originalName ?? ""];
        if (!handler) throw new Error(`${method.path} has no handler`);
        return (call) => chain(links, () => foreignResponses(handler, call, method));
      }),
  } as unknown as GrpcServer;
  const health = new HealthImplementation(Object.fromEntries([...names, ""].map((name) => [name, "SERVING"])));
  health.addToServer(behindTheChain);
  const reflection = new ReflectionService(DESCRIBED, { services: [...names, "grpc.health.v1.Health"] });
  reflection.addToServer(behindTheChain);
  const { bound: port, host } = await bindEvery(options.listen, (listen) => connections.listen(listen));
  const notServing = () => [...names, ""].forEach((name) => health.setStatus(name, "NOT_SERVING"));
  return {
    address: `${host.includes(":") ? `[${host}]` : host}:${port}`,
    notServing,
    async [Symbol.asyncDispose]() {
      notServing();
      connections.close();
      const force = setTimeout(() => server.forceShutdown(), options.shutdownGraceMs ?? SHUTDOWN_GRACE_MS);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(force);
      connections[Symbol.dispose]();
    },
  };
}

function addMethods(
  server: GrpcServer,
  definition: Definition,
  nextOf: (name: string, method: AnyMethod) => (call: GrpcCall) => Next,
): void {
  const adapted = Object.entries(definition).map(([name, method]) => [
    name,
    adapt(method as AnyMethod, nextOf(name, method as AnyMethod)),
  ]);
  server.addService(definition, Object.fromEntries(adapted) as Record<string, UntypedHandleCall>);
}

/** A handler as the end of a chain: an answer is a stream of one. */
function lastOf(handler: unknown, { responseStream }: AnyMethod): Next {
  const handle = handler as (input: unknown, context: CallContext) => unknown;
  if (responseStream) return (call) => handle(call.input, call) as AsyncIterable<unknown>;
  return async function* (call) {
    yield await handle(call.input, call);
  };
}

/** The same for a handler written for grpc-js, as health's and reflection's are: it serves its streams itself. */
async function* foreignResponses(handler: ForeignHandler, call: GrpcCall, { responseStream }: AnyMethod) {
  if (responseStream) {
    const ended = new Promise<void>((resolve) => call.once("finish", resolve).once("cancelled", resolve));
    handler(call, () => {});
    await ended;
    return;
  }
  yield await new Promise<unknown>((resolve, reject) =>
    handler(call, (error, response) =>
      error ? reject(fromStatus(Object.assign(new Error(error.details), error))) : resolve(response),
    ),
  );
}

/** Turns a chain into a handler for grpc-js. */
function adapt(method: AnyMethod, nextFor: (call: GrpcCall) => Next): UntypedHandleCall {
  const responsesTo = (call: GrpcCall) => {
    // A broken connection shows as the signal's abort and as the reader's error; without this listener it would crash.
    call.on("error", () => {});
    const { path, requestStream, responseStream } = method;
    const input = requestStream ? requestsOf(call) : call.request;
    const context = contextOf(call);
    const responses = nextFor(call)({ path, requestStream, responseStream, input, ...context });
    return { responses, signal: context.signal };
  };
  if (method.responseStream) {
    return ((call: GrpcCall) => {
      const { responses, signal } = responsesTo(call);
      writeAll(call, responses, signal).then(
        () => call.end(),
        (status: unknown) => signal.aborted || call.emit("error", status),
      );
    }) as UntypedHandleCall;
  }
  return ((call: GrpcCall, respond: sendUnaryData<unknown>) => {
    onlyResponse(responsesTo(call).responses).then(
      (response) => respond(null, response),
      (status: Error) => respond(status, null),
    );
  }) as UntypedHandleCall;
}

/**
 * The requests of a stream. A handler that stops reading them must not destroy the call: its status is not sent yet.
 */
function requestsOf(call: GrpcCall): AsyncIterable<unknown> {
  return call.iterator({ destroyOnReturn: false });
}

function contextOf(call: GrpcCall): CallContext {
  const controller = new AbortController();
  call.on("cancelled", () => controller.abort());
  if (call.cancelled) controller.abort();
  return { signal: controller.signal, metadata: call.metadata };
}
