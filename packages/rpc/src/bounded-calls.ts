/**
 * Bounds on what a call may leave unfinished: its request, each of its messages, and each response that nobody reads. It runs
 * before all else that sees a call, and looks at its HTTP/2 stream, where grpc-js shows a message only once it is whole.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import { ServerInterceptingCall, status, type ServerInterceptor } from "@grpc/grpc-js";
import { Budget } from "./budget.js";
import { isPulled, messageBytesOf, SMALL_MESSAGE_BYTES, type ServerLimits } from "./server-limits.js";

/** In front of each message: a flag, and its length. */
const PREFIX_BYTES = 5;

type Refuse = (code: status, details: string) => void;

/** The bounds that concern calls. */
export function boundedCalls(limits: ServerLimits): ServerInterceptor {
  const ofAll = new Budget(limits.maxUnfinishedBytesOfAll);
  const ofConnections = new WeakMap<object, Budget>();
  return (method, given) => {
    const call = given as ServerInterceptingCall;
    const stream = streamOf(call);
    const { session = stream } = stream;
    const own = ofConnections.get(session) ?? new Budget(limits.maxUnfinishedBytes, ofAll);
    ofConnections.set(session, own);
    const refuse: Refuse = (code, details) => call.sendStatus({ code, details });
    new Incoming(stream, method, limits, own, refuse);
    return isPulled(method.path) ? call : new ReadCall(call, stream, limits.unreadMs);
  };
}

/** grpc-js keeps it to itself, and has no other way to see a message before it is whole. */
function streamOf(call: object): ServerHttp2Stream {
  if ("stream" in call) return call.stream as ServerHttp2Stream;
  throw new Error("this version of grpc-js hides the HTTP/2 stream of a call");
}

/** What arrives of a call. */
class Incoming {
  readonly #stream: ServerHttp2Stream;
  readonly #limits: ServerLimits;
  readonly #budget: Budget;
  readonly #refuse: Refuse;
  readonly #maxBytes: number;
  readonly #isStream: boolean;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixBytes = 0;
  /** Of the message that arrives. */
  #sizeBytes = 0;
  #missingBytes = 0;
  /** Ends what it reserved for the message. */
  #release: (() => void) | undefined;
  #isWaiting = false;
  /** The stream flowed when the wait began, or would have since. */
  #mustResume = false;
  /** Since the deadline was set, the server paused the stream: its client is not to blame. */
  #wasPaused = false;
  #deadline: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(
    stream: ServerHttp2Stream,
    { path, requestStream }: { path: string; requestStream: boolean },
    limits: ServerLimits,
    budget: Budget,
    refuse: Refuse,
  ) {
    this.#stream = stream;
    this.#limits = limits;
    this.#budget = budget;
    this.#refuse = refuse;
    this.#maxBytes = messageBytesOf(path);
    this.#isStream = requestStream;
    this.#expect(limits.firstMessageMs, "no message came");
    // grpc-js's own listener is before this one, and decides when the stream flows.
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.once("end", () => this.#over());
    stream.once("close", () => this.#over());
    // Refused before its client was done: what that still sends is of no use, and the stream would stay (RFC 9113, 8.1).
    stream.once("finish", () => setImmediate(() => this.#endIfRefused()));
  }

  #endIfRefused(): void {
    const isRefused = this.#stream.sentHeaders?.["grpc-status"] !== undefined;
    if (isRefused && !this.#stream.readableEnded) this.#stream.close();
  }

  /** Nothing more counts: the call was answered, and what still comes is thrown away. */
  #over(): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    this.#release?.();
    this.#release = undefined;
  }

  #take(chunk: Buffer): void {
    if (this.#isOver || this.#stream.writableEnded) return this.#over();
    for (let at = 0; at < chunk.byteLength;)
      at = this.#missingBytes > 0 ? this.#body(chunk, at) : this.#head(chunk, at);
    if (this.#stream.isPaused()) this.#wasPaused = true;
    if (this.#isWaiting) this.#pause();
    else if (this.#missingBytes > 0) this.#reserve();
  }

  #head(chunk: Buffer, at: number): number {
    if (this.#prefixBytes === 0) this.#expect(this.#limits.messageMs, "a message was not complete");
    const copied = chunk.copy(this.#prefix, this.#prefixBytes, at);
    this.#prefixBytes += copied;
    if (this.#prefixBytes === PREFIX_BYTES) {
      this.#prefixBytes = 0;
      this.#sizeBytes = this.#missingBytes = this.#prefix.readUInt32BE(1);
      if (this.#sizeBytes > this.#maxBytes) {
        const problem = `the message has ${this.#sizeBytes} bytes, where ${this.#maxBytes} are accepted`;
        this.#refuse(status.RESOURCE_EXHAUSTED, `${problem}; send less in one message`);
        this.#over();
        return chunk.byteLength;
      }
      if (this.#missingBytes === 0) this.#complete();
    }
    return at + copied;
  }

  #body(chunk: Buffer, at: number): number {
    const taken = Math.min(chunk.byteLength - at, this.#missingBytes);
    this.#missingBytes -= taken;
    if (this.#missingBytes === 0) this.#complete();
    return at + taken;
  }

  #complete(): void {
    this.#release?.();
    this.#release = undefined;
    // A request is over when its client says so; a stream may rest after each message.
    if (this.#isStream) clearTimeout(this.#deadline);
  }

  /** Makes room for the rest of the message, or waits for it. */
  #reserve(): void {
    if (this.#release || this.#sizeBytes <= SMALL_MESSAGE_BYTES) return;
    this.#isWaiting = true;
    const cancel = this.#budget.take(this.#sizeBytes, () => {
      this.#isWaiting = false;
      if (this.#mustResume) this.#stream.resume();
      this.#mustResume = false;
    });
    this.#release = () => {
      this.#isWaiting = false;
      cancel();
    };
    if (this.#isWaiting) this.#pause();
  }

  #pause(): void {
    this.#mustResume ||= !this.#stream.isPaused();
    this.#wasPaused = true;
    this.#stream.pause();
  }

  #expect(ms: number, problem: string): void {
    clearTimeout(this.#deadline);
    this.#wasPaused = false;
    this.#deadline = setTimeout(() => {
      if (this.#stream.writableEnded) return;
      if (this.#wasPaused || this.#stream.isPaused()) return this.#expect(ms, problem);
      this.#refuse(status.DEADLINE_EXCEEDED, `${problem} within ${ms / 1000} s; send it as soon as the call begins`);
      this.#over();
    }, ms);
  }
}

/** A call whose responses must be read. */
class ReadCall extends ServerInterceptingCall {
  readonly #stream: ServerHttp2Stream;
  readonly #unreadMs: number;
  #unread: NodeJS.Timeout | undefined;

  constructor(call: ServerInterceptingCall, stream: ServerHttp2Stream, unreadMs: number) {
    super(call);
    this.#stream = stream;
    this.#unreadMs = unreadMs;
    stream.once("close", () => clearTimeout(this.#unread));
  }

  /** grpc-js sends one message at a time. */
  override sendMessage(message: unknown, sent: () => void): void {
    // No status arrives after what is not read; clients know this code as RESOURCE_EXHAUSTED.
    const end = () => this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    this.#unread = setTimeout(end, this.#unreadMs);
    super.sendMessage(message, () => {
      clearTimeout(this.#unread);
      sent();
    });
  }
}
