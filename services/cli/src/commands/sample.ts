/** gradpool sample: goes on with a prompt, in this process. */
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { LogitsSession } from "@gradpool/runtime";
import type { CommandContext } from "../command-context.js";
import { openAdaptedModel, type AdaptedModelFlags } from "../inference/adapted-model.js";
import { drawToken, mostLikely, uniforms } from "../inference/next-token.js";
import { TextStream } from "../inference/text-stream.js";

export interface SampleFlags extends AdaptedModelFlags {
  prompt: string;
  max_new_tokens: number;
  /** 0: always the most likely token. */
  temperature: number;
  seed: number;
  threads?: number;
}

/** Why the text ended: the end-of-sequence token, max_new_tokens, or the model's positions. */
type FinishReason = "eos" | "length" | "positions";

export async function sample(flags: SampleFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const model = await openAdaptedModel(flags, config.cacheDir);
  const { source, tokenizer, targets, adapter } = model;
  const { eosId } = tokenizer.info;
  const { maxPositions, vocabSize } = source.model.description;
  const prompt = [...tokenizer.encode(flags.prompt)];
  // As GPT-2 was trained: a text begins behind the end of another.
  const ids = prompt.length > 0 ? prompt : [eosId];
  if (ids.length >= maxPositions) {
    const problem = `the prompt has ${ids.length} tokens, and the model ${maxPositions} positions`;
    throw new GradpoolError("invalid_argument", `${problem}; shorten the prompt`);
  }
  await using session = await LogitsSession.create(
    { source, targets, padRow: false },
    { threads: flags.threads ?? availableParallelism() },
  );
  const random = uniforms(flags.seed);
  const text = new TextStream((generated) => tokenizer.decode(generated, { skipSpecialTokens: true }));
  const generated: number[] = [];
  let completion = "";
  const tell = (isEnd: boolean) => {
    const piece = text.next(generated, isEnd);
    completion += piece;
    output.stream(piece);
  };
  let finishReason: FinishReason = "length";
  output.stream(flags.prompt);
  while (generated.length < flags.max_new_tokens) {
    if (ids.length >= maxPositions) {
      finishReason = "positions";
      break;
    }
    const { data } = await session.run(ids, [ids.length - 1], adapter);
    const logits = data.subarray(0, vocabSize);
    const { temperature } = flags;
    const id = temperature === 0 ? mostLikely(logits) : drawToken(logits, temperature, random.next().value);
    if (id === eosId) {
      finishReason = "eos";
      break;
    }
    ids.push(id);
    generated.push(id);
    tell(false);
    // The model runs synchronously: let Ctrl-C through.
    await setImmediate();
    interrupts.signal.throwIfAborted();
  }
  tell(true);
  output.stream("\n");
  output.document({
    prompt: flags.prompt,
    completion,
    new_tokens: generated.length,
    finish_reason: finishReason,
  });
}
