import { GradpoolError } from "@gradpool/errors";
import {
  chunks,
  MAX_TRAINER_ID_CHARACTERS,
  MAX_TRAINER_TEXT_CHARACTERS,
  type Handlers,
  type ResultHeader,
  type TrainerGatewayServiceService,
  type TrainerHello,
  type WorkRequest,
} from "@gradpool/rpc";
import type { TrainerConnection } from "../trainer-connection.js";
import type { Runs, TrainerPool } from "../trainer-pool.js";

export function trainerGatewayHandlers(runs: Runs, trainers: TrainerPool): Handlers<TrainerGatewayServiceService> {
  return {
    async *work(requests, { signal }) {
      const messages = requests[Symbol.asyncIterator]();
      const hello = await readHello(messages);
      if (trainers.knows(hello)) return yield { message: { $case: "welcome", value: trainers.welcome } };
      const connection = trainers.join(hello);
      const leave = () => trainers.leave(connection);
      signal.addEventListener("abort", leave, { once: true });
      let failure: unknown;
      listen(trainers, connection, messages)
        .catch((error: unknown) => (failure = error))
        .finally(leave);
      try {
        // Ends when the trainer leaves, and when the pool drops it: it may then reconnect.
        yield* connection.outgoing;
      } finally {
        leave();
      }
      if (failure) throw failure as Error;
    },

    async *fetchAdapter({ runId, adapterVersion }) {
      for (const data of chunks(runs.run(runId).adapterFile(adapterVersion))) yield { data };
    },

    async pushResult(requests) {
      let header: ResultHeader | undefined;
      let gradients: Uint8Array | undefined;
      let received = 0;
      for await (const { message } of requests) {
        if (message?.$case === "header") {
          if (header) throw malformed("it has two headers");
          header = message.value;
          gradients = trainers.gradientsMemory(header);
          // Late: its gradients need not be sent.
          if (!gradients) return { accepted: false };
        } else if (message?.$case === "data") {
          const at = received;
          received += message.value.byteLength;
          if (!gradients || received > gradients.byteLength) throw malformed("it is larger than its header says");
          gradients.set(message.value, at);
        }
      }
      if (!header || !gradients || received !== gradients.byteLength) throw malformed("it is incomplete");
      return { accepted: await trainers.result(header, gradients) };
    },
  };
}

const malformed = (what: string) => new GradpoolError("invalid_argument", `the result cannot be used: ${what}`);

async function readHello(messages: AsyncIterator<WorkRequest>): Promise<TrainerHello> {
  const first = await messages.next();
  const message = first.done ? undefined : first.value.message;
  if (message?.$case !== "hello" || !message.value.trainerId) {
    throw new GradpoolError("invalid_argument", "a trainer's first message must be a hello with a trainer_id");
  }
  const { trainerId, device, deviceClass, host, version, instance } = message.value;
  if (trainerId.length > MAX_TRAINER_ID_CHARACTERS) {
    const problem = `a trainer_id has at most ${MAX_TRAINER_ID_CHARACTERS} characters`;
    throw new GradpoolError("invalid_argument", `${problem}; set GRADPOOL_TRAINER_ID to a shorter one`);
  }
  // A database would end the text there, or refuse it.
  if (trainerId.includes("\0")) {
    throw new GradpoolError("invalid_argument", "trainer_id contains the character U+0000; set GRADPOOL_TRAINER_ID");
  }
  if ([device, deviceClass, host, version, instance].some((text) => text.length > MAX_TRAINER_TEXT_CHARACTERS)) {
    const problem = `device, device_class, host and version have at most ${MAX_TRAINER_TEXT_CHARACTERS} characters each`;
    throw new GradpoolError("invalid_argument", `${problem}; shorten them`);
  }
  return message.value;
}

/** Reads a trainer's messages until it ends the conversation or its connection breaks. */
async function listen(
  trainers: TrainerPool,
  connection: TrainerConnection,
  messages: AsyncIterator<WorkRequest>,
): Promise<void> {
  for (;;) {
    const next = await messages.next().catch(() => undefined);
    if (!next || next.done) return;
    const { message } = next.value;
    if (message?.$case === "pull") trainers.pulled(connection, message.value.tasks);
    if (message?.$case === "heartbeat") trainers.heard(connection, message.value);
    if (message?.$case === "failed") trainers.taskFailed(connection, message.value);
  }
}
