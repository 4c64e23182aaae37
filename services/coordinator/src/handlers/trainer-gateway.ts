import { GradpoolError } from "@gradpool/errors";
import {
  chunks,
  concat,
  type Handlers,
  type ResultHeader,
  type TrainerGatewayServiceService,
  type TrainerHello,
  type WorkRequest,
} from "@gradpool/rpc";
import type { Engine } from "../engine.js";
import type { TrainerConnection } from "../pool.js";

export function trainerGatewayHandlers(engine: Engine): Handlers<TrainerGatewayServiceService> {
  return {
    async *work(requests, { signal }) {
      const messages = requests[Symbol.asyncIterator]();
      const connection = engine.join(await readHello(messages));
      const leave = () => engine.leave(connection);
      signal.addEventListener("abort", leave, { once: true });
      // Its end, whatever the reason, is the trainer's leaving.
      listen(engine, connection, messages).then(leave, leave);
      try {
        // Ends when the trainer leaves, and also when the pool has given it up: then it may come again.
        yield* connection.outgoing;
      } finally {
        leave();
      }
    },

    async *fetchAdapter({ runId, adapterVersion }) {
      for (const data of chunks(engine.adapterFile(runId, adapterVersion))) yield { data };
    },

    async pushResult(requests) {
      let header: ResultHeader | undefined;
      const pieces: Uint8Array[] = [];
      let received = 0;
      for await (const { message } of requests) {
        if (message?.$case === "header") {
          header = message.value;
          const limit = engine.resultLimit(header.taskId);
          // Late: its gradients need not come at all.
          if (limit === undefined) return { accepted: false };
          if (header.gradientBytes > limit) throw malformed("it has more bytes than the adapter");
        } else if (message?.$case === "data") {
          received += message.value.byteLength;
          if (!header || received > header.gradientBytes) throw malformed("it has more bytes than its header says");
          pieces.push(message.value);
        }
      }
      if (!header || received !== header.gradientBytes) throw malformed("it is incomplete");
      return { accepted: engine.result(header, concat(pieces)) };
    },
  };
}

const malformed = (what: string) => new GradpoolError("invalid_argument", `the result cannot be used: ${what}`);

async function readHello(messages: AsyncIterator<WorkRequest>): Promise<TrainerHello> {
  const first = await messages.next();
  const message = first.done ? undefined : first.value.message;
  if (message?.$case === "hello" && message.value.trainerId) return message.value;
  throw new GradpoolError("invalid_argument", "a trainer's first message is its hello, with a trainer_id");
}

async function listen(
  engine: Engine,
  connection: TrainerConnection,
  messages: AsyncIterator<WorkRequest>,
): Promise<void> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { message } = next.value;
    switch (message?.$case) {
      case "pull":
        engine.pulled(connection, message.value.tasks);
        break;
      case "heartbeat":
        engine.heard(connection, message.value.residentBytes);
        break;
      case "failed":
        engine.taskFailed(connection, message.value);
        break;
      case "hello":
      case undefined:
        throw new GradpoolError("invalid_argument", "a trainer says hello once, and then only what this version knows");
    }
  }
}
