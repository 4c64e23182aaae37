/** Many trainers of one process: they join, send a heartbeat, and never compute anything. */
import {
  createClient,
  Heartbeat,
  MessageQueue,
  TrainerGatewayServiceService,
  withKey,
  type Client,
  type PoolKey,
  type WorkRequest,
} from "@gradpool/rpc";

/** Trainers that share a connection: a connection for each would take file descriptors and tell nothing more. */
const TRAINERS_A_CONNECTION = 50;

export class Crowd implements AsyncDisposable {
  readonly #address: string;
  readonly #key: PoolKey;
  readonly #gateways: Client<TrainerGatewayServiceService>[] = [];
  readonly #outboxes: MessageQueue<WorkRequest>[] = [];
  readonly #conversations: Promise<void>[] = [];
  #joined = 0;

  constructor(address: string, key: PoolKey) {
    this.#address = address;
    this.#key = key;
  }

  /** Resolves when all of them are welcome; `atATime` are not yet. */
  async join(trainers: number, atATime = trainers): Promise<void> {
    let left = trainers;
    const joining = async () => {
      while (left-- > 0) await this.#joinOne();
    };
    await Promise.all(Array.from({ length: atATime }, joining));
  }

  /** Resolves when all have said goodbye; `atATime` are about to. */
  async leave(atATime = this.#outboxes.length): Promise<void> {
    const outboxes = this.#outboxes.splice(0);
    for (let i = 0; i < outboxes.length; i += atATime) {
      for (const outbox of outboxes.slice(i, i + atATime)) outbox.end();
      await Promise.all(this.#conversations.splice(0, atATime));
    }
    await Promise.all(this.#conversations.splice(0));
    this.#joined = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
    for (const gateway of this.#gateways) gateway.close();
  }

  async #joinOne(): Promise<void> {
    const number = this.#joined++;
    const outbox = new MessageQueue<WorkRequest>();
    const device = { device: "none", deviceClass: "none", threads: 1, memoryBytes: 1, largestBufferBytes: 0 };
    const hello = {
      trainerId: `crowd-${number}`,
      ...device,
      ...{ host: "here", pid: process.pid },
      version: "none",
      instance: String(number),
      coordinatorIds: [],
    };
    outbox.push({ message: { $case: "hello", value: hello } });
    outbox.push({ message: { $case: "heartbeat", value: Heartbeat.fromPartial({ residentBytes: 1 }) } });
    const messages = this.#gatewayOf(number).work(outbox)[Symbol.asyncIterator]();
    const welcome = await messages.next();
    if (welcome.done) throw new Error("a trainer was not welcome");
    // In the same order, so that those who leave together are waited for.
    this.#outboxes.push(outbox);
    this.#conversations.push(readOut(messages));
  }

  #gatewayOf(number: number): Client<TrainerGatewayServiceService> {
    const place = Math.floor(number / TRAINERS_A_CONNECTION);
    return (this.#gateways[place] ??= createClient(TrainerGatewayServiceService, this.#address, [
      withKey(() => this.#key),
    ]));
  }
}

async function readOut(messages: AsyncIterator<unknown>): Promise<void> {
  while (!(await messages.next()).done);
}
