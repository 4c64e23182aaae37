import { setMaxListeners } from "node:events";
import type { Certificates } from "@gradpool/access";
import {
  Client as GrpcClient,
  logVerbosity,
  Metadata,
  setLogVerbosity,
  type CallOptions as GrpcCallOptions,
  type ChannelOptions,
  type ServiceError,
} from "@grpc/grpc-js";
import { channelCredentials } from "./credentials.js";
import { clientSpans } from "./call-spans.js";
import { chain, onlyResponse, type Call, type Interceptor, type Next } from "./interceptor.js";
import type { AnyMethod, CallOptions, Client, Definition } from "./methods.js";
import { statusToErrors } from "./status.js";
import { writeAll } from "./streams.js";

const CHANNEL_OPTIONS = {
  // The default window gives 3–4 MB/s at 10 ms round trip.
  "grpc-node.flow_control_window": 16 * 1024 * 1024,
  // Retrying buffers a stream's messages; callers retry what can be retried.
  "grpc.enable_retries": 0,
  // Reconnect quickly: a restarted service is back within a second.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Notice a peer that vanished without closing its connection.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // Each client has its own connection: bulk transfers do not delay heartbeats.
  "grpc.use_local_subchannel_pool": 1,
  // grpc-js would send even 127.0.0.1, and so gradients, through a proxy named by the environment.
  "grpc.enable_http_proxy": 0,
};

const DEFAULT_HTTP_PORT = 80;

/**
 * A client for a generated service definition at `address` ("host:port"), with `interceptors` around each call, the
 * first outermost; without `tls` in plain text; through `proxy` with CONNECT. It connects on the first call. Calls throw
 * GradpoolError. Close it when done.
 */
export function createClient<S extends Definition>(
  definition: S,
  address: string,
  interceptors: readonly Interceptor[] = [],
  tls?: Certificates,
  proxy?: URL,
): Client<S> {
  const { credentials, options } = channelCredentials(address, tls);
  const { dial, tunnel } = tunnelTo(address, proxy);
  const grpc = new GrpcClient(dial, credentials, { ...CHANNEL_OPTIONS, ...options, ...tunnel });
  const calls: Record<string | symbol, unknown> = { close: () => grpc.close(), [Symbol.dispose]: () => grpc.close() };
  for (const [name, definedMethod] of Object.entries(definition)) {
    const method = definedMethod as AnyMethod;
    const next = chain([...interceptors, clientSpans, statusToErrors], transport(grpc, method));
    calls[name] = (input: unknown, options: CallOptions = {}) => {
      const responses = next(callOf(method, input, options));
      return method.responseStream ? responses : onlyResponse(responses);
    };
  }
  return calls as unknown as Client<S>;
}

/** What grpc-js would set itself for a proxy that it found in the environment: see CHANNEL_OPTIONS. */
function tunnelTo(address: string, proxy: URL | undefined): { dial: string; tunnel: ChannelOptions } {
  if (!proxy) return { dial: address, tunnel: {} };
  // It writes to the console whenever a proxy does not answer; the call's error says it once.
  setLogVerbosity(logVerbosity.NONE);
  const tunnel: ChannelOptions = { "grpc.http_connect_target": `dns:${address}`, "grpc.default_authority": address };
  const credentials = decodeURIComponent(proxy.password ? `${proxy.username}:${proxy.password}` : proxy.username);
  if (credentials !== "") tunnel["grpc.http_connect_creds"] = credentials;
  return { dial: `${proxy.hostname}:${proxy.port || DEFAULT_HTTP_PORT}`, tunnel };
}

/** The signal of calls that cannot be cancelled. */
const NEVER = new AbortController().signal;
setMaxListeners(0, NEVER);

function callOf({ path, requestStream, responseStream }: AnyMethod, input: unknown, options: CallOptions): Call {
  const { signal = NEVER, metadata = new Metadata(), timeoutMs } = options;
  return {
    path,
    requestStream,
    responseStream,
    input,
    signal,
    metadata,
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

/** The end of a client's chain: the call goes to grpc-js. */
function transport(grpc: GrpcClient, method: AnyMethod): Next {
  const { path, requestSerialize: serialize, responseDeserialize: deserialize } = method;
  if (method.responseStream) {
    return (call) =>
      responsesOf(call, () =>
        method.requestStream
          ? grpc.makeBidiStreamRequest(path, serialize, deserialize, call.metadata, grpcOptions(call))
          : grpc.makeServerStreamRequest(path, serialize, deserialize, call.input, call.metadata, grpcOptions(call)),
      );
  }
  return async function* (call) {
    const options = grpcOptions(call);
    yield await new Promise((resolve, reject) => {
      const settle = (error: ServiceError | null, response: unknown) => {
        done?.abort();
        stop();
        if (error) reject(error);
        else resolve(response);
      };
      const done = method.requestStream ? new AbortController() : undefined;
      const sent = method.requestStream
        ? grpc.makeClientStreamRequest(path, serialize, deserialize, call.metadata, options, settle)
        : grpc.makeUnaryRequest(path, serialize, deserialize, call.input, call.metadata, options, settle);
      const stop = cancelOn(call.signal, sent);
      if (!done) return;
      sendAll(sent as unknown as WritableCall, call, done.signal).catch((error: unknown) => {
        sent.cancel();
        reject(error as Error);
      });
    });
  };
}

type Cancellable = { cancel(): void };
type ReadableCall = AsyncIterable<unknown> & Cancellable;
type WritableCall = Parameters<typeof writeAll>[0];

async function sendAll(stream: WritableCall, { input }: Call, signal: AbortSignal): Promise<void> {
  await writeAll(stream, input as AsyncIterable<unknown>, signal);
  stream.end();
}

/** The responses of a stream; the call is cancelled when the reader stops early or the sender fails. */
async function* responsesOf(call: Call, begin: () => ReadableCall): AsyncGenerator<unknown> {
  const stream = begin();
  const stop = cancelOn(call.signal, stream);
  const done = new AbortController();
  let sendFailure: { error: unknown } | undefined;
  if (call.requestStream) {
    sendAll(stream as unknown as WritableCall, call, done.signal).catch((error: unknown) => {
      sendFailure = { error };
      stream.cancel();
    });
  }
  try {
    yield* stream;
  } catch (error) {
    throw sendFailure ? sendFailure.error : error;
  } finally {
    done.abort();
    stop();
    stream.cancel();
  }
}

/** Cancels the call when `signal` aborts; the returned function ends the connection between the two. */
function cancelOn(signal: AbortSignal, call: Cancellable): () => void {
  if (signal === NEVER) return () => {};
  const cancel = () => call.cancel();
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}

function grpcOptions({ timeoutMs }: Call): GrpcCallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}
