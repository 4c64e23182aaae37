/**
 * What a gRPC server accepts from its callers: the one place for all such bounds (docs/operating.md lists them for operators;
 * those of HTTP are in packages/service-kit/src/http-server.ts). Honest heavy use stays far below them: 200 trainers, 100
 * watchers, gradients and checkpoints of gigabytes in chunks of 1 MiB, runs that rest for days.
 */
import type { ServerOptions } from "@grpc/grpc-js";

const KIB = 1024;
const MIB = 1024 * KIB;

export interface ServerLimits {
  /** Open connections. A trainer has two, a client one; each costs about 50 kB. */
  maxConnections: number;
  /** Of those, ones without a call that had the key: when there are more, the oldest is closed, so that honest clients get in. */
  maxUnproven: number;
  /** From a connection to its first call, with all of TLS and HTTP/2 in between. */
  firstCallMs: number;
  /** From a call to its whole request, or to the first message of its stream. */
  firstMessageMs: number;
  /** From a message's first byte to its last: 70 kB a second for the largest. Waiting for the server does not count. */
  messageMs: number;
  /** Until one message of a response was taken by its reader. */
  unreadMs: number;
  /**
   * Bytes of unfinished messages of a connection, and of all: others wait until there is room. Small ones, which come in one
   * piece, do not count.
   */
  maxUnfinishedBytes: number;
  maxUnfinishedBytesOfAll: number;
}

export const SERVER_LIMITS: ServerLimits = {
  maxConnections: 4_096,
  maxUnproven: 256,
  firstCallMs: 10_000,
  firstMessageMs: 30_000,
  messageMs: 60_000,
  unreadMs: 60_000,
  // Four of the largest messages, or sixteen chunks.
  maxUnfinishedBytes: 16 * MIB,
  maxUnfinishedBytesOfAll: 64 * MIB,
};

/** Messages of at most this many bytes do not count as unfinished: HTTP/2 brings them in one frame. */
export const SMALL_MESSAGE_BYTES = 16 * KIB;

/** Of a request. Most name a run and little else; a trainer's report of a failure has a text. */
const MAX_MESSAGE_BYTES = 256 * KIB;
/** Data in chunks of 1 MiB, and lists of files. */
const MAX_CHUNK_BYTES = 2 * MIB;
/** Lists of sources, and texts to encode. The services refuse less with more to say. */
const MAX_LARGE_BYTES = 4 * MIB;

const MESSAGE_BYTES: ReadonlyMap<string, number> = new Map([
  ["/gradpool.v1.TrainerGatewayService/PushResult", MAX_CHUNK_BYTES],
  ["/gradpool.v1.CheckpointStoreService/Save", MAX_CHUNK_BYTES],
  ["/gradpool.v1.RunService/SubmitRun", MAX_LARGE_BYTES],
  ["/gradpool.v1.DataStreamService/DescribeDataset", MAX_LARGE_BYTES],
  ["/gradpool.v1.DataStreamService/OpenStream", MAX_LARGE_BYTES],
  ["/gradpool.v1.TokenizerService/Encode", MAX_LARGE_BYTES],
  ["/gradpool.v1.TokenizerService/Decode", MAX_LARGE_BYTES],
]);

/** Bytes that one message to a method may have. */
export const messageBytesOf = (path: string): number => MESSAGE_BYTES.get(path) ?? MAX_MESSAGE_BYTES;

/** A run takes its data as it needs it, and none while it rests: its stream may stay unread for days. */
const PULLED: ReadonlySet<string> = new Set(["/gradpool.v1.DataStreamService/OpenStream"]);

/** Whether a method's responses may stay unread. */
export const isPulled = (path: string): boolean => PULLED.has(path);

export const GRPC_LIMITS: ServerOptions = {
  // Of a connection, and more wait: the coordinator has one to each service, for 32 runs at a time, and a trainer needs three.
  // A thousand that begin at once would hold the event loop for half a second.
  "grpc.max_concurrent_streams": 128,
  // Large enough for each method that has no smaller bound.
  "grpc.max_receive_message_length": MAX_LARGE_BYTES,
  // A peer that vanished is noticed and its calls end; every gRPC library answers pings, also while its streams are idle.
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
  // Only of connections without an open call; a client connects again by itself.
  "grpc.max_connection_idle_ms": 30 * 60_000,
};
