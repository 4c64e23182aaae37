/**
 * Continues a text, token by token, in one session: the prompt is read once, then each token is read
 * after what the session remembers.
 *
 * Logits of a remembered text differ from those of one read whole in their last bits (1e-6 of the
 * largest), since products are summed in another order: where two tokens are that close, the choice
 * between them is as arbitrary here as between two machines. On one machine it is always the same.
 */
import { setImmediate } from "node:timers/promises";
import { KeyValueCache, type Adapter, type LogitsSession } from "@gradpool/runtime";
import { nextToken, uniforms, type Sampling } from "./next-token.js";

/** Why a text ended: an end token, max_new_tokens, the model's positions, or a stop text. */
export type FinishReason = "eos" | "length" | "positions" | "stop";

export interface Generation {
  session: LogitsSession;
  adapter?: Adapter | undefined;
  /** At least one id. */
  prompt: readonly number[];
  maxNewTokens: number;
  /** Positions of the model. */
  maxPositions: number;
  endTokens: ReadonlySet<number>;
  sampling: Sampling;
  seed: number;
  signal: AbortSignal;
}

/** Gives the new tokens as they come, without the one that ends the text, and says why it ended. */
export async function* generate(generation: Generation): AsyncGenerator<number, FinishReason> {
  const { session, adapter, prompt, maxNewTokens, maxPositions, endTokens, sampling, seed, signal } = generation;
  const uniform = uniforms(seed);
  const cache = new KeyValueCache();
  const text = [...prompt];
  // A run is synchronous inside: let Ctrl-C through.
  const pause = async () => {
    await setImmediate();
    signal.throwIfAborted();
  };
  let unread: readonly number[] = prompt;
  for (let made = 0; made < maxNewTokens; made++) {
    if (text.length >= maxPositions) return "positions";
    const logits = await session.next(cache, unread, adapter, pause);
    const id = nextToken(logits, text, sampling, uniform);
    if (endTokens.has(id)) return "eos";
    text.push(id);
    unread = [id];
    yield id;
    await pause();
  }
  return "length";
}
