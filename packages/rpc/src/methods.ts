/**
 * The types that tie a generated service definition to handlers and clients: requests and responses
 * are plain messages, streams are async iterables, cancellation is an AbortSignal.
 */
import type { Metadata, MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

export interface CallContext {
  /** Aborted when the client cancels, its connection breaks, or its deadline passes. */
  readonly signal: AbortSignal;
  readonly metadata: Metadata;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  metadata?: Metadata;
  /** Give up after this many milliseconds; by default there is no limit. */
  timeoutMs?: number;
}

export type RequestOf<M> = M extends { requestSerialize: (value: infer T) => Buffer } ? T : never;
export type ResponseOf<M> = M extends { responseSerialize: (value: infer T) => Buffer } ? T : never;

/** A server's side of one RPC. */
export type Handler<M> = M extends { requestStream: true }
  ? M extends { responseStream: true }
    ? (requests: AsyncIterable<RequestOf<M>>, context: CallContext) => AsyncIterable<ResponseOf<M>>
    : (requests: AsyncIterable<RequestOf<M>>, context: CallContext) => Promise<ResponseOf<M>>
  : M extends { responseStream: true }
    ? (request: RequestOf<M>, context: CallContext) => AsyncIterable<ResponseOf<M>>
    : (request: RequestOf<M>, context: CallContext) => Promise<ResponseOf<M>>;

/** A client's side of one RPC. */
export type Call<M> = M extends { requestStream: true }
  ? M extends { responseStream: true }
    ? (requests: AsyncIterable<RequestOf<M>>, options?: CallOptions) => AsyncIterable<ResponseOf<M>>
    : (requests: AsyncIterable<RequestOf<M>>, options?: CallOptions) => Promise<ResponseOf<M>>
  : M extends { responseStream: true }
    ? (request: RequestOf<M>, options?: CallOptions) => AsyncIterable<ResponseOf<M>>
    : (request: RequestOf<M>, options?: CallOptions) => Promise<ResponseOf<M>>;

export type Handlers<S> = { [name in keyof S]: Handler<S[name]> };
export type Client<S> = { [name in keyof S]: Call<S[name]> } & Disposable & { close(): void };

/** A generated definition, such as `TokenizerServiceService`. */
export type Definition = ServiceDefinition;
export type AnyMethod = MethodDefinition<unknown, unknown>;
