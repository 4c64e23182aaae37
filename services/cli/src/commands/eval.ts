/** gradpool eval: loss per token and perplexity on rows of text, in this process. */
import { setImmediate } from "node:timers/promises";
import { microBatches, packingOf } from "@gradpool/data";
import { GradpoolError } from "@gradpool/errors";
import { count } from "@gradpool/format";
import { checkPositions, RECIPE_FIELDS } from "@gradpool/recipe";
import { LossSession } from "@gradpool/runtime";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { addRecipeFlags, atLeast } from "../flags.js";
import { openAdaptedModel, type AdaptedModelFlags } from "../inference/adapted-model.js";
import { adapterOf } from "../inference/adapter-place.js";
import { encoderOf } from "../inference/encoder.js";
import { addComputeFlags, addModelFlags, sessionOptions, type ComputeFlags } from "../inference/model-flags.js";
import { checkedRecipeFrom } from "../recipe-flags.js";
import { openDataset } from "../runs/open-dataset.js";
import { facts } from "../terminal/format.js";

const HELP = `
Examples:
  gradpool eval --model_id models/tiny-coder --dataset held-out.jsonl
  gradpool eval --model_id models/tiny-coder --adapter outputs/my-run --dataset held-out.jsonl --json
  gradpool eval --model_id ./instruct --dataset chats.jsonl --messages_column messages --max_length 1024
${HELP_TAIL}`;

/** The recipe's flags that decide what is read and how. */
const EVAL_FIELDS = RECIPE_FIELDS.filter(({ readBy, forTraining }) => readBy.includes("data") && !forTraining);

export function addEval(command: Command, options: ProgramOptions): void {
  addComputeFlags(addModelFlags(command, options)).option(
    "--dataset <sources...>",
    "files, folders, globs, data sets of the hub, or synthetic",
  );
  addRecipeFlags(command, EVAL_FIELDS)
    .addOption(new Option("--max_rows <n>", "use only the first N rows; 0: all").argParser(atLeast(0)).default(0))
    .addHelpText("after", HELP)
    .action((flags: EvalFlags & OutputFlags) => evaluate(flags, contextFor(flags, options, ["model_id", "dataset"])));
}

/** And the recipe's flags for reading and cutting rows. */
interface EvalFlags extends Omit<AdaptedModelFlags, "pad_token">, ComputeFlags, Record<string, unknown> {
  dataset: string[];
  /** 0: all. */
  max_rows: number;
}

async function evaluate(flags: EvalFlags, context: CommandContext): Promise<void> {
  const { output, config, interrupts } = context;
  const { signal } = interrupts;
  const recipe = checkedRecipeFrom(flags);
  const folder = await adapterOf(flags, context);
  const wanted = { model_id: flags.model_id, pad_token: recipe.padToken };
  const { source, tokenizer, targets, adapter } = await openAdaptedModel(wanted, config.models, folder);
  for (const note of [...source.notes, ...tokenizer.info.notes]) output.note(`note: ${note}`);
  const { maxPositions, vocabSize } = source.model.description;
  checkPositions(recipe, maxPositions);
  const dataset = await openDataset({ sources: flags.dataset, recipe, heldOut: false }, config.models.hub, signal);
  // As in training: an added pad token is part of the softmax.
  const padRow = tokenizer.info.vocabSize > vocabSize;
  const rule = { ...recipe, maxRows: flags.max_rows };
  await using session = await LossSession.create(
    { source, targets, padRow, documents: packingOf(rule) === "bfd" },
    await sessionOptions(flags, context),
  );
  let [rows, tokens, lossSum] = [0, 0, 0];
  const batches = microBatches(dataset, rule, encoderOf(tokenizer), { epochs: 1, signal });
  for await (const batch of batches) {
    const result = await session.run(batch, adapter);
    rows += batch.rows;
    // As in training: a sum over no targets may be anything, even NaN, and counts as 0.
    if (result.targetTokens > 0) {
      tokens += result.targetTokens;
      lossSum += result.lossSum;
    }
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
