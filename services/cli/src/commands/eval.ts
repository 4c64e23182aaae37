/** gradpool eval: loss per token and perplexity on rows of text, in this process. */
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Dataset, microBatches, type DataRecipe, type Encoder } from "@gradpool/data";
import { GradpoolError } from "@gradpool/errors";
import { LossSession } from "@gradpool/runtime";
import type { HfTokenizer } from "@gradpool/tokenizers";
import type { CommandContext } from "../command-context.js";
import { openAdaptedModel, type AdaptedModelFlags } from "../inference/adapted-model.js";
import { count, facts } from "../terminal/format.js";

export interface EvalFlags extends AdaptedModelFlags {
  dataset: string[];
  text_column: string;
  append_eos: boolean;
  packing: boolean;
  max_length: number;
  batch_size: number;
  /** 0: all. */
  max_rows: number;
  threads?: number;
}

export async function evaluate(flags: EvalFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const { signal } = interrupts;
  const { source, tokenizer, targets, adapter } = await openAdaptedModel(flags, config.models);
  const { maxPositions, vocabSize } = source.model.description;
  if (flags.max_length > maxPositions) {
    const problem = `max_length ${flags.max_length} is beyond the model's ${maxPositions} positions`;
    throw new GradpoolError("invalid_argument", `${problem}; lower --max_length`);
  }
  const dataset = await Dataset.open(flags.dataset, signal);
  // As in training: an added pad token takes part in the softmax.
  const padRow = tokenizer.info.vocabSize > vocabSize;
  await using session = await LossSession.create(
    { source, targets, padRow },
    { threads: flags.threads ?? availableParallelism() },
  );
  let [rows, tokens, lossSum] = [0, 0, 0];
  const batches = microBatches(dataset, recipeOf(flags), encoderOf(tokenizer), { epochs: 1, signal });
  for await (const batch of batches) {
    const result = await session.run(batch, adapter);
    rows += batch.rows;
    tokens += result.targetTokens;
    lossSum += result.lossSum;
    output.progress(progressLine(rows, tokens, lossSum));
    // The model runs synchronously: let Ctrl-C through.
    await setImmediate();
    signal.throwIfAborted();
  }
  output.endProgress();
  if (tokens === 0) {
    const advice = "a row needs at least two tokens";
    throw new GradpoolError("failed_precondition", `the data set has no token to predict; ${advice}`);
  }
  const loss = lossSum / tokens;
  const perplexity = Math.exp(loss);
  output.document({ model_id: flags.model_id, adapter: flags.adapter ?? null, rows, tokens, loss, perplexity });
  output.say(
    facts([
      ["rows", count(rows)],
      ["tokens", count(tokens)],
      ["loss", loss.toFixed(4)],
      ["perplexity", perplexity.toPrecision(6)],
    ]),
  );
}

function progressLine(rows: number, tokens: number, lossSum: number): string {
  const read = `${count(rows)} rows  ${count(tokens)} tokens`;
  if (tokens === 0) return read;
  const loss = lossSum / tokens;
  return `${read}  loss ${loss.toFixed(4)}  perplexity ${Math.exp(loss).toPrecision(6)}`;
}

function recipeOf(flags: EvalFlags): DataRecipe {
  return {
    textColumn: flags.text_column,
    maxLength: flags.max_length,
    batchSize: flags.batch_size,
    appendEos: flags.append_eos,
    packing: flags.packing,
    shuffleBuffer: 0,
    seed: 0,
    maxRows: flags.max_rows,
  };
}

function encoderOf(tokenizer: HfTokenizer): Encoder {
  const { eosId, padId } = tokenizer.info;
  return {
    eosId,
    padId,
    encode: (texts, maxTokens) => Promise.resolve(texts.map((text) => tokenizer.encode(text, { maxTokens }))),
  };
}
