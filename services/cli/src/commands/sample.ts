/** gradpool sample: continues a prompt, or answers in a chat, in this process. */
import { LogitsSession } from "@gradpool/runtime";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { atLeast, number } from "../flags.js";
import { openAdaptedModel, type AdaptedModelFlags } from "../inference/adapted-model.js";
import { adapterOf } from "../inference/adapter-place.js";
import { endTokens } from "../inference/end-tokens.js";
import { generate, type FinishReason } from "../inference/generate.js";
import { decodingOf, readGenerationConfig, type DecodingFlags } from "../inference/generation-config.js";
import { GENERATION_CONFIG } from "../inference/model-json.js";
import { addComputeFlags, addModelFlags, sessionOptions, type ComputeFlags } from "../inference/model-flags.js";
import { encodePrompt, readPrompt, type PromptFlags } from "../inference/prompt.js";
import { StopTexts, TextStream } from "../inference/text-stream.js";

const HELP = `
Tokens are chosen as by transformers' generate: repetition penalty, no_repeat_ngram_size, temperature, top-k, top-p, sampling.
What no flag sets is taken from the model's generation_config.json, if it has one; a line on standard error shows what.

Examples:
  gradpool sample --model_id models/tiny-coder --prompt "def main():"
  gradpool sample --model_id models/tiny-coder --adapter outputs/my-run --prompt "export function" --temperature 0.8
  gradpool sample --model_id models/tiny-coder --prompt - --stop $'\\ndef ' $'\\nclass ' < start.py
  gradpool sample --model_id ./instruct --chat --prompt "What is a monad?" --max_new_tokens 200
  gradpool sample --model_id ./instruct --messages chat.json --adapter run-mf3k2a1b-9c04e7
${HELP_TAIL}`;

export function addSample(command: Command, options: ProgramOptions): void {
  addComputeFlags(addModelFlags(command, options))
    .option("--prompt <text>", "text to continue; - reads standard input")
    .option("--chat", "use the prompt as a user's message, in the model's chat template")
    .option("--system <text>", "with --chat: the system message")
    .option(
      "--messages <file>",
      "instead of --prompt: JSON file with a list of messages (role and content); - reads standard input",
    )
    .addOption(
      new Option("--max_new_tokens <n>", "maximum length of the continuation (default: 64)").argParser(atLeast(0)),
    )
    .addOption(
      new Option("--temperature <x>", "0 takes the most likely token, higher is more varied (default: 0)").argParser(
        number("0 or greater", (value) => value >= 0),
      ),
    )
    .addOption(
      new Option("--top_k <n>", "sample from the n most likely tokens; 0: from all (default: 0)").argParser(atLeast(0)),
    )
    .addOption(
      new Option(
        "--top_p <x>",
        "sample from the most likely tokens that together reach this probability (default: 1)",
      ).argParser(number("above 0 and at most 1", (value) => value > 0 && value <= 1)),
    )
    .addOption(
      new Option(
        "--repetition_penalty <x>",
        "above 1: tokens already in the text become less likely (default: 1)",
      ).argParser(number("above 0", (value) => value > 0)),
    )
    .addOption(
      new Option(
        "--no_repeat_ngram_size <n>",
        "do not repeat any sequence of n tokens; 0: no limit (default: 0)",
      ).argParser(atLeast(0)),
    )
    .addOption(new Option("--seed <n>", "seed for sampling at a temperature above 0").argParser(atLeast(0)).default(0))
    .option("--stop <text...>", "stop before the first of these texts")
    .addHelpText("after", HELP)
    .action((flags: Omit<SampleFlags, "pad_token"> & OutputFlags) =>
      sample({ ...flags, pad_token: "" }, contextFor(flags, options, ["model_id"])),
    );
}

interface SampleFlags extends AdaptedModelFlags, PromptFlags, DecodingFlags, ComputeFlags {
  seed: number;
  /** The text ends before the first of these. */
  stop?: string[];
}

async function sample(flags: SampleFlags, context: CommandContext): Promise<void> {
  const { output, config, interrupts } = context;
  const { signal } = interrupts;
  const started = performance.now();
  const given = await readPrompt(flags, process.stdin, signal);
  const model = await openAdaptedModel(flags, config.models, await adapterOf(flags, context));
  for (const note of [...model.source.notes, ...model.tokenizer.info.notes]) output.note(`note: ${note}`);
  const { source, tokenizer, targets, adapter, padRow } = model;
  const { sampling, maxNewTokens, taken, ignored } = decodingOf(flags, await readGenerationConfig(source.dir));
  if (taken.length > 0) output.note(`from ${GENERATION_CONFIG}: ${taken.join(", ")} (flags override it)`);
  if (ignored.length > 0) output.note(`note: ${GENERATION_CONFIG} has ${ignored.join(", ")}, which sample ignores`);
  const { text: prompt, ids: promptIds } = await encodePrompt(given, model, signal);
  await using session = await LogitsSession.create({ source, targets, padRow }, await sessionOptions(flags, context));
  const tokens = generate({
    ...{ session, adapter, prompt: promptIds, signal },
    maxNewTokens,
    maxPositions: source.model.description.maxPositions,
    endTokens: await endTokens(source.dir, tokenizer.info.eosId),
    sampling,
    seed: flags.seed,
  });
  const characters = new TextStream((ids) => tokenizer.decode(ids, { skipSpecialTokens: true }));
  const stops = new StopTexts(flags.stop ?? []);
  let completion = "";
  const tell = (piece: string) => {
    completion += piece;
    output.stream(piece);
  };

  // In a chat, only the answer is of interest.
  if ("text" in given) output.stream(prompt);
  const made: number[] = [];
  const loaded = performance.now();
  let first: number | undefined;
  let finishReason: FinishReason = "stop";
  while (!stops.isFound) {
    const { value, done } = await tokens.next();
    first ??= performance.now();
    if (done) {
      finishReason = value;
      break;
    }
    made.push(value);
    tell(stops.next(characters.next(value)));
  }
  tell(stops.next(characters.end()));
  if (stops.isFound) finishReason = "stop";
  tell(stops.end());
  output.stream("\n");
  const ended = performance.now();
  output.document({
    ...{ prompt, completion, new_tokens: made.length, finish_reason: finishReason },
    tokens: { prompt: promptIds, completion: made },
    timings: timings(made.length, started, loaded, first ?? loaded, ended),
  });
}

/** Seconds; the first token comes with the reading of the prompt, the rate is that of the others. */
function timings(made: number, started: number, loaded: number, first: number, ended: number) {
  const seconds = (from: number, to: number) => (to - from) / 1000;
  const rate = made > 1 ? (made - 1) / seconds(first, ended) : null;
  return {
    load_seconds: seconds(started, loaded),
    first_token_seconds: seconds(loaded, first),
    seconds: seconds(loaded, ended),
    tokens_per_second: rate,
  };
}
