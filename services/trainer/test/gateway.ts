import { once } from "node:events";
import { EventEmitter } from "node:events";
import { GradpoolError } from "@gradpool/errors";
import {
  chunks,
  concat,
  MessageQueue,
  service,
  startServer,
  TrainerGatewayServiceService,
  type CallContext,
  type FetchAdapterRequest,
  type FetchAdapterResponse,
  type Heartbeat,
  type MicroBatchTask,
  type PushResultRequest,
  type PushResultResponse,
  type ResultHeader,
  type RunningServer,
  type TaskFailed,
  type TrainerHello,
  type Welcome,
  type WorkRequest,
  type WorkResponse,
} from "@gradpool/rpc";
import { key } from "./key.js";

export interface PushedResult {
  header: ResultHeader;
  gradients: Uint8Array;
}

export interface Beat extends Heartbeat {
  at: number;
}

export interface GatewayOptions {
  listen?: string;
  heartbeatMs?: number;
  coordinatorId?: string;
}

/** The coordinator's side of the conversation, which records what trainers say and sends what a test wants. */
export class TestGateway implements AsyncDisposable {
  readonly hellos: TrainerHello[] = [];
  /** Tasks that the current conversation has room for. */
  room = 0;
  readonly failures: TaskFailed[] = [];
  readonly heartbeats: Beat[] = [];
  readonly results: PushedResult[] = [];
  /** "run/version" of each adapter that was fetched. */
  readonly fetched: string[] = [];
  /** "run/version" to file. */
  readonly adapters = new Map<string, Uint8Array>();
  /** Conversations that the trainer ended by itself. */
  goodbyes = 0;
  /** Conversations that are open. */
  open = 0;
  accepts = true;
  /** Announced from now on; see announce. */
  members: string[] = [];
  /** Called before each adapter is sent; may wait. */
  beforeFetch: () => Promise<void> = async () => {};
  /** Called before each result is answered; may wait or throw. */
  beforeAccept: (header: ResultHeader) => Promise<void> = async () => {};
  #server: RunningServer | undefined;
  #outgoing = new MessageQueue<WorkResponse>();
  readonly #changes = new EventEmitter();
  readonly #heartbeatMs: number;
  readonly #coordinatorId: string;

  private constructor({ heartbeatMs = 1000, coordinatorId = "" }: GatewayOptions) {
    this.#heartbeatMs = heartbeatMs;
    this.#coordinatorId = coordinatorId;
    this.#changes.setMaxListeners(0);
  }

  static async start(options: GatewayOptions = {}): Promise<TestGateway> {
    const gateway = new TestGateway(options);
    gateway.#server = await startServer({
      key,
      listen: options.listen ?? "127.0.0.1:0",
      services: [
        service(TrainerGatewayServiceService, {
          work: (requests, context) => gateway.#work(requests, context),
          fetchAdapter: (request) => gateway.#fetchAdapter(request),
          pushResult: (requests) => gateway.#pushResult(requests),
        }),
      ],
      onInternalError: (error) => {
        throw error;
      },
    });
    return gateway;
  }

  get address(): string {
    if (!this.#server) throw new Error("not started");
    return this.#server.address;
  }

  send(message: NonNullable<WorkResponse["message"]>): void {
    this.#outgoing.push({ message });
  }

  sendTask(task: MicroBatchTask): void {
    this.room--;
    this.send({ $case: "task", value: task });
  }

  announce(members: string[]): void {
    this.members = members;
    this.send({ $case: "members", value: { addresses: members } });
  }

  /** Resolves as soon as `condition` holds; it is checked after every message of a trainer. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#changes, "change");
  }

  /** The result of a task, once it has arrived. */
  async resultOf(taskId: string): Promise<PushedResult> {
    const find = () => this.results.find(({ header }) => header.taskId === taskId);
    await this.until(() => find() !== undefined);
    return find() as PushedResult;
  }

  /** Ends the current conversation. */
  hangUp(): void {
    this.#outgoing.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await this.#server?.[Symbol.asyncDispose]();
  }

  #changed(): void {
    this.#changes.emit("change");
  }

  async *#work(requests: AsyncIterable<WorkRequest>, { signal }: CallContext): AsyncGenerator<WorkResponse> {
    const messages = requests[Symbol.asyncIterator]();
    const first = await messages.next();
    const hello = first.done ? undefined : first.value.message;
    if (hello?.$case !== "hello") throw new Error("a trainer's first message was no hello");
    this.hellos.push(hello.value);
    this.#changed();
    const leases = { heartbeatMs: this.#heartbeatMs, leaseMs: 3 * this.#heartbeatMs };
    const value: Welcome = { ...leases, coordinatorId: this.#coordinatorId, memberAddresses: this.members };
    if (hello.value.coordinatorIds.includes(this.#coordinatorId)) {
      return yield { message: { $case: "welcome", value } };
    }
    const outgoing = new MessageQueue<WorkResponse>();
    this.#outgoing = outgoing;
    this.room = 0;
    this.open++;
    const heard = this.#hear(messages).then(
      () => {
        if (!signal.aborted) this.goodbyes++;
        outgoing.end();
      },
      () => outgoing.end(),
    );
    signal.addEventListener("abort", () => outgoing.end());
    yield { message: { $case: "welcome", value } };
    try {
      yield* outgoing;
    } finally {
      this.open--;
      this.#changed();
      void heard.then(() => this.#changed());
    }
  }

  async #hear(messages: AsyncIterator<WorkRequest>): Promise<void> {
    for (;;) {
      const next = await messages.next();
      if (next.done) return;
      const { message } = next.value;
      if (message?.$case === "pull") this.room += message.value.tasks;
      if (message?.$case === "failed") this.failures.push(message.value);
      if (message?.$case === "heartbeat") this.heartbeats.push({ ...message.value, at: performance.now() });
      this.#changed();
    }
  }

  async *#fetchAdapter({ runId, adapterVersion }: FetchAdapterRequest): AsyncGenerator<FetchAdapterResponse> {
    const name = `${runId}/${adapterVersion}`;
    this.fetched.push(name);
    this.#changed();
    await this.beforeFetch();
    const file = this.adapters.get(name);
    if (!file) throw new GradpoolError("not_found", `adapter ${name} is over`);
    for (const data of chunks(file)) yield { data };
  }

  async #pushResult(requests: AsyncIterable<PushResultRequest>): Promise<PushResultResponse> {
    let header: ResultHeader | undefined;
    const pieces: Uint8Array[] = [];
    for await (const { message } of requests) {
      if (message?.$case === "header") header = message.value;
      if (message?.$case === "data") pieces.push(message.value);
    }
    if (!header) throw new GradpoolError("invalid_argument", "no header");
    await this.beforeAccept(header);
    this.results.push({ header, gradients: concat(pieces) });
    this.#changed();
    return { accepted: this.accepts };
  }
}
