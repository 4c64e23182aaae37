import { ReflectionService } from "@grpc/reflection";
import {
  Server as GrpcServer,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedHandleCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { GradpoolError } from "@gradpool/errors";
import { HealthImplementation } from "grpc-health-check";
import { endSpan, inServerSpan, spanOfStream } from "./call-spans.js";
import { FILE_DESCRIPTORS } from "./gen/descriptors.js";
import type { AnyMethod, CallContext, Definition, Handlers } from "./methods.js";
import { toStatus } from "./status.js";
import { writeAll } from "./streams.js";

export interface ServedService {
  /** The generated definition, such as `TokenizerServiceService`. */
  definition: Definition;
  handlers: Record<string, unknown>;
}

/** Ties handlers to their definition, with types. */
export function service<S extends Definition>(definition: S, handlers: Handlers<S>): ServedService {
  return { definition, handlers };
}

export interface ServerOptions {
  /** "host:port"; port 0 takes any free one. */
  listen: string;
  services: ServedService[];
  /** Told of errors that are the server's own fault. */
  onInternalError: (error: unknown, method: string) => void;
  /** Told of each call that ended, health checks and reflection aside; `code`: "ok", or the error's. */
  observe?: (call: { method: string; code: string; seconds: number }) => void;
  /** How long open calls may go on after shutdown began; 2 s unless given. */
  shutdownGraceMs?: number;
}

export interface RunningServer extends AsyncDisposable {
  /** "host:port" with the real port. */
  address: string;
}

const SHUTDOWN_GRACE_MS = 2_000;

/**
 * What reflection tells: the descriptors that buf makes. Those that proto-loader makes of the files lack the imports
 * between them, so that grpcurl cannot read them.
 */
const DESCRIBED = {
  contracts: { fileDescriptorProtos: FILE_DESCRIPTORS.map((descriptor) => Buffer.from(descriptor, "base64")) },
} as unknown as ConstructorParameters<typeof ReflectionService>[0];

/** Starts a gRPC server with health checks and reflection. Errors: `unavailable` when the port is taken. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const server = new GrpcServer();
  const names = new Set<string>();
  for (const { definition, handlers } of options.services) {
    const implementation: Record<string, UntypedHandleCall> = {};
    for (const [name, method] of Object.entries(definition)) {
      names.add(method.path.split("/")[1] ?? "");
      const onInternal = (error: unknown) => options.onInternalError(error, method.path);
      const handler = options.observe ? observed(handlers[name], method as AnyMethod, options.observe) : handlers[name];
      implementation[name] = adapt(method as AnyMethod, handler, onInternal);
    }
    server.addService(definition, implementation);
  }
  const health = new HealthImplementation(Object.fromEntries([...names, ""].map((name) => [name, "SERVING"])));
  health.addToServer(server);
  const reflection = new ReflectionService(DESCRIBED, { services: [...names, "grpc.health.v1.Health"] });
  reflection.addToServer(server);
  const port = await bind(server, options.listen);
  const host = options.listen.slice(0, options.listen.lastIndexOf(":"));
  return {
    address: `${host}:${port}`,
    async [Symbol.asyncDispose]() {
      for (const name of names) health.setStatus(name, "NOT_SERVING");
      const force = setTimeout(() => server.forceShutdown(), options.shutdownGraceMs ?? SHUTDOWN_GRACE_MS);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(force);
    },
  };
}

function bind(server: GrpcServer, listen: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, port) => {
      if (!error) return resolve(port);
      const message = `cannot listen on ${listen}: ${reasonOf(error)}; choose another port, or end the process that has it`;
      reject(new GradpoolError("unavailable", message, { cause: error }));
    });
  });
}

function reasonOf(error: Error): string {
  if (/EADDRINUSE/.test(error.message)) return "the port is taken";
  if (/EACCES/.test(error.message)) return "this user may not use that port";
  return error.message;
}

/** The handler, whose calls are told of when they have ended, also those that the client ended. */
function observed(handler: unknown, method: AnyMethod, observe: NonNullable<ServerOptions["observe"]>): unknown {
  const handle = handler as (input: unknown, context: CallContext) => unknown;
  const begin = (signal: AbortSignal) => {
    const startedAt = performance.now();
    return (failure?: unknown) => {
      const code = signal.aborted ? "cancelled" : failure === undefined ? "ok" : GradpoolError.from(failure).code;
      observe({ method: method.path, code, seconds: (performance.now() - startedAt) / 1000 });
    };
  };
  if (method.responseStream) {
    return async function* (input: unknown, context: CallContext) {
      const ended = begin(context.signal);
      let failure: unknown;
      try {
        yield* handle(input, context) as AsyncIterable<unknown>;
      } catch (error) {
        failure = error;
        throw error;
      } finally {
        ended(failure);
      }
    };
  }
  return async (input: unknown, context: CallContext) => {
    const ended = begin(context.signal);
    try {
      const response = await handle(input, context);
      ended();
      return response;
    } catch (error) {
      ended(error);
      throw error;
    }
  };
}

/** Turns a handler of async functions and iterables into what grpc-js calls. The one place that maps errors to status. */
function adapt(method: AnyMethod, handler: unknown, onInternal: (error: unknown) => void): UntypedHandleCall {
  const handle = handler as (input: unknown, context: CallContext) => unknown;
  if (method.responseStream) {
    return (call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>) => {
      const context = contextOf(call);
      // A broken connection shows as the signal's abort and as the reader's error; without this listener it would crash.
      call.on("error", () => {});
      const input = "request" in call ? call.request : requestsOf(call);
      inServerSpan(method.path, call.metadata, (given) => {
        const span = spanOfStream(given);
        writeAll(call, handle(input, context) as AsyncIterable<unknown>, context.signal).then(
          () => {
            endSpan(span);
            call.end();
          },
          (error: unknown) => {
            endSpan(span, context.signal.aborted ? undefined : error);
            if (!context.signal.aborted) call.emit("error", toStatus(error, onInternal));
          },
        );
      });
    };
  }
  return (
    call: ServerUnaryCall<unknown, unknown> | ServerReadableStream<unknown, unknown>,
    respond: sendUnaryData<unknown>,
  ) => {
    const context = contextOf(call);
    call.on("error", () => {});
    const input = "request" in call ? call.request : requestsOf(call);
    inServerSpan(method.path, call.metadata, (span) => {
      (async () => handle(input, context))().then(
        (response) => {
          endSpan(span);
          respond(null, response);
        },
        (error: unknown) => {
          endSpan(span, error);
          respond(toStatus(error, onInternal), null);
        },
      );
    });
  };
}

/** The requests of a stream. A handler that stops reading them must not destroy the call: its status has yet to be sent. */
function requestsOf(call: ServerReadableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>) {
  return call.iterator({ destroyOnReturn: false }) as AsyncIterable<unknown>;
}

function contextOf(call: {
  metadata: CallContext["metadata"];
  cancelled: boolean;
  on(event: "cancelled", listener: () => void): unknown;
}): CallContext {
  const controller = new AbortController();
  call.on("cancelled", () => controller.abort());
  if (call.cancelled) controller.abort();
  return { signal: controller.signal, metadata: call.metadata };
}
