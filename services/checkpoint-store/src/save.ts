import { GradpoolError } from "@gradpool/errors";
import type { CallContext, SaveHeader, SaveRequest, SaveResponse } from "@gradpool/rpc";
import type { ArtifactStore } from "./artifact-store.js";

/** Save: the header, then the files' bytes. */
export function saveHandler(
  store: ArtifactStore,
): (requests: AsyncIterable<SaveRequest>, context: CallContext) => Promise<SaveResponse> {
  return async (requests, { signal }) => {
    const messages = requests[Symbol.asyncIterator]();
    const first = (await messages.next()) as IteratorResult<SaveRequest, undefined>;
    signal.throwIfAborted();
    if (first.value?.message?.$case !== "header") throw misplaced("the first message of Save must be the header");
    const header: SaveHeader = first.value.message.value;
    return store.save(header, dataOf(messages), signal);
  };
}

async function* dataOf(messages: AsyncIterator<SaveRequest>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const result = await messages.next();
    if (result.done) return;
    if (result.value.message?.$case !== "data") throw misplaced("only data may follow Save's header");
    yield result.value.message.value;
  }
}

function misplaced(what: string): GradpoolError {
  return new GradpoolError("invalid_argument", `${what}; see checkpoint_store.proto`);
}
