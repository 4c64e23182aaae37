import {
  Client as GrpcClient,
  credentials,
  type CallOptions as GrpcCallOptions,
  type ServiceError,
} from "@grpc/grpc-js";
import type { Span } from "@gradpool/tracing";
import { clientSpan, endSpan, spanOfStream } from "./call-spans.js";
import type { GradpoolError } from "@gradpool/errors";
import type { AnyMethod, CallOptions, Client, Definition } from "./methods.js";
import { fromStatus } from "./status.js";
import { writeAll } from "./streams.js";

const CHANNEL_OPTIONS = {
  // The default window gives 3–4 MB/s at 10 ms round trip.
  "grpc-node.flow_control_window": 16 * 1024 * 1024,
  // Retrying buffers a stream's messages; callers retry what may be retried.
  "grpc.enable_retries": 0,
  // Reconnect quickly: a restarted service is back within a second.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Notice a peer that vanished without closing its connection.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // Each client its own connection: bulk transfers do not hold up heartbeats.
  "grpc.use_local_subchannel_pool": 1,
};

/**
 * A client for a generated service definition at `address` ("host:port"). It connects with the first
 * call. Calls throw GradpoolError. Close it when done.
 */
export function createClient<S extends Definition>(definition: S, address: string): Client<S> {
  const grpc = new GrpcClient(address, credentials.createInsecure(), CHANNEL_OPTIONS);
  const calls: Record<string, unknown> = { close: () => grpc.close() };
  for (const [name, method] of Object.entries(definition)) calls[name] = callOf(grpc, method as AnyMethod);
  return calls as Client<S>;
}

function callOf(grpc: GrpcClient, method: AnyMethod): unknown {
  const { path, requestSerialize: serialize, responseDeserialize: deserialize } = method;
  if (method.requestStream && method.responseStream) {
    return (requests: AsyncIterable<unknown>, options: CallOptions = {}) => {
      const { metadata, span } = clientSpan(path, options.metadata);
      const stream = grpc.makeBidiStreamRequest(path, serialize, deserialize, metadata, grpcOptions(options));
      return answers(stream, options, spanOfStream(span), (signal) => sendAll(stream, requests, signal));
    };
  }
  if (method.responseStream) {
    return (request: unknown, options: CallOptions = {}) => {
      const { metadata, span } = clientSpan(path, options.metadata);
      const stream = grpc.makeServerStreamRequest(
        path,
        serialize,
        deserialize,
        request,
        metadata,
        grpcOptions(options),
      );
      return answers(stream, options, spanOfStream(span));
    };
  }
  if (method.requestStream) {
    return async (requests: AsyncIterable<unknown>, options: CallOptions = {}) => {
      const { metadata, span } = clientSpan(path, options.metadata);
      const done = new AbortController();
      const answer = new Promise((resolve, reject) => {
        const stream = grpc.makeClientStreamRequest(
          path,
          serialize,
          deserialize,
          metadata,
          grpcOptions(options),
          (error, response) => (error ? reject(fromStatus(error)) : resolve(response)),
        );
        const stop = cancelOn(options.signal, stream);
        done.signal.addEventListener("abort", stop, { once: true });
        sendAll(stream, requests, done.signal).catch((error: unknown) => {
          stream.cancel();
          reject(error as Error);
        });
      });
      return ending(span, answer).finally(() => done.abort());
    };
  }
  return (request: unknown, options: CallOptions = {}) => {
    const { metadata, span } = clientSpan(path, options.metadata);
    const answer = new Promise((resolve, reject) => {
      let stop = () => {};
      const done = (error: ServiceError | null, response: unknown) => {
        stop();
        if (error) reject(fromStatus(error));
        else resolve(response);
      };
      const call = grpc.makeUnaryRequest(path, serialize, deserialize, request, metadata, grpcOptions(options), done);
      stop = cancelOn(options.signal, call);
    });
    return ending(span, answer);
  };
}

type Cancellable = { cancel(): void };
type ReadableCall = AsyncIterable<unknown> & Cancellable;
type WritableCall = Parameters<typeof writeAll>[0];

async function sendAll(stream: WritableCall, requests: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
  await writeAll(stream, requests, signal);
  stream.end();
}

/** The responses of a stream; the call is cancelled when the reader stops early or the sender fails. */
async function* answers(
  stream: ReadableCall,
  options: CallOptions,
  span: Span | undefined,
  send?: (signal: AbortSignal) => Promise<void>,
): AsyncGenerator<unknown> {
  const stop = cancelOn(options.signal, stream);
  const done = new AbortController();
  let sendFailure: { error: unknown } | undefined;
  let failure: GradpoolError | undefined;
  send?.(done.signal).catch((error: unknown) => {
    sendFailure = { error };
    stream.cancel();
  });
  try {
    yield* stream;
  } catch (error) {
    failure = fromStatus(sendFailure ? sendFailure.error : error);
    throw failure;
  } finally {
    done.abort();
    stop();
    stream.cancel();
    endSpan(span, failure);
  }
}

/** Cancels the call when `signal` aborts; the returned function ends the connection between the two. */
function cancelOn(signal: AbortSignal | undefined, call: Cancellable): () => void {
  const cancel = () => call.cancel();
  if (signal?.aborted) cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  return () => signal?.removeEventListener("abort", cancel);
}

/** Ends the call's span along with it. */
async function ending<T>(span: Span | undefined, answer: Promise<T>): Promise<T> {
  try {
    const response = await answer;
    endSpan(span);
    return response;
  } catch (error) {
    endSpan(span, error);
    throw error;
  }
}

function grpcOptions(options: CallOptions): GrpcCallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}
