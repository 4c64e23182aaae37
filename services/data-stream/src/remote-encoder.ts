import type { EncodeOptions, Encoder } from "@gradpool/data";
import type { JobContext } from "@gradpool/threads";
import type { EncoderCall, EncoderFacts } from "./data-jobs.js";

/** In a thread: encodes by asking the thread that has the connection to the tokenizer service. */
export interface RemoteEncoder extends Encoder {
  /** As TokenizerEncoder's. */
  readonly key: string;
}

/** Errors: those of TokenizerEncoder.create. */
export async function remoteEncoder({ call }: JobContext): Promise<RemoteEncoder> {
  const ask = <T>(request: EncoderCall) => call<T>(request);
  return {
    ...(await ask<EncoderFacts>({ kind: "load" })),
    encode: (texts, maxTokens, signal, options: EncodeOptions = { specialTokens: true }) => {
      signal.throwIfAborted();
      return ask<Int32Array[]>({ kind: "encode", texts, maxTokens, options });
    },
  };
}
