/** gradpool train: fine-tunes a model, on a local stack or on a running pool. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { givenKey } from "@gradpool/access";
import { DRY_RUN_ROWS, DRY_RUN_STEPS } from "@gradpool/recipe";
import type { Recipe, Run, RunSpec } from "@gradpool/rpc";
import type { DeviceRequest } from "@gradpool/runtime";
import { absoluteOutputDir, OBJECT_STORE_SCHEME } from "@gradpool/service-kit";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import {
  addAccessFlags,
  contextFor,
  HELP_TAIL,
  JSON_LINES,
  jsonOption,
  type OutputFlags,
  type ProgramOptions,
} from "../command-options.js";
import { addConfigFlag } from "../common-flags.js";
import { address } from "../flags.js";
import { startLocalStack } from "../local-stack/local-stack.js";
import { dashboardLines } from "../local-stack/dashboard-link.js";
import { addStackFlags, deviceOf } from "../local-stack/stack-flags.js";
import { addRunFlags } from "../run-flags.js";
import { superviseRun } from "../runs/follow.js";
import { Pool } from "../runs/pool.js";
import { preflight } from "../runs/preflight.js";
import { LATEST, runSpecFrom, specForPool, type RunFlags } from "../runs/run-spec.js";
import { facts } from "../terminal/format.js";
import { UsageError } from "../usage-error.js";

const HELP = `
Examples:
  gradpool train --model_id models/tiny-coder --dataset src --epochs 1
  gradpool train --model_id ./gpt2 --dataset rows.jsonl --text_column text --trainers 2 --learning_rate 5e-4
  gradpool train --model_id ./gpt2 --dataset synthetic --dry_run
  gradpool train --model_id ./gpt2 --dataset rows.jsonl --output_dir out --resume_from latest
${HELP_TAIL}`;

export function addTrain(command: Command, options: ProgramOptions): void {
  addAccessFlags(addStackFlags(addConfigFlag(addRunFlags(command), options.config)))
    .addOption(
      new Option("--address <host:port>", "train on this coordinator's pool instead of a local one").argParser(address),
    )
    .addOption(jsonOption(JSON_LINES))
    .addHelpText("after", HELP)
    .action((flags: TrainFlags & OutputFlags) => train(flags, contextFor(flags, options)));
}

export interface TrainFlags extends RunFlags {
  /** Coordinator of a running pool; undefined: a local stack. */
  address?: string;
  trainers?: number;
  threads?: number;
  device?: DeviceRequest;
  recovery_seconds?: number;
}

/** The flags that are for a local stack. */
const OWN_STACK_FLAGS = ["trainers", "threads", "device", "recovery_seconds"] as const;

/** What the flags ask for. Errors: UsageError for invalid flags. */
export function plannedRun(flags: TrainFlags): RunSpec & { recipe: Recipe } {
  const spec = runSpecFrom(flags, new Date());
  const ownStackFlag = OWN_STACK_FLAGS.find((flag) => flags[flag] !== undefined);
  if (flags.address && ownStackFlag) {
    throw new UsageError(`--${ownStackFlag} is for a local pool; remove it or --address`);
  }
  deviceOf(flags);
  return spec;
}

async function train(flags: TrainFlags, context: CommandContext): Promise<void> {
  const spec = plannedRun(flags);
  const run = flags.address ? await trainOnPool(flags.address, spec, context) : await trainHere(flags, spec, context);
  await sayResult(run, spec, context);
}

async function trainHere(flags: TrainFlags, spec: RunSpec & { recipe: Recipe }, context: CommandContext): Promise<Run> {
  const { output, config, interrupts } = context;
  const device = deviceOf(flags);
  const model = await preflight(spec, config.models, (doing) => output.progress(doing), interrupts.signal);
  sayStart(spec, model, context);
  output.progress("starting the services");
  await using stack = await startLocalStack({
    trainers: flags.trainers,
    threads: flags.threads,
    device,
    httpListen: "127.0.0.1:0",
    recoverySeconds: flags.recovery_seconds,
    home: config.home,
    key: givenKey(config.access),
    note: (text) => output.note(text),
    signal: interrupts.signal,
  });
  interrupts.onForce(() => stack.kill());
  output.endProgress();
  for (const line of dashboardLines(stack, output, " while it runs")) output.say(line);
  try {
    using pool = new Pool(stack.addresses.coordinator, { keyFile: stack.keyFile, home: config.home }, (text) =>
      output.note(text),
    );
    const { runId } = await pool.submit(spec);
    return await superviseRun(pool, runId, context, stack.failed);
  } catch (error) {
    if (interrupts.signal.aborted) {
      const flags = `--output_dir ${shellWord(spec.outputDir)} --resume_from ${LATEST}`;
      output.note(`to continue where it stopped, repeat the command with ${flags}`);
    }
    throw error;
  }
}

async function trainOnPool(address: string, given: RunSpec & { recipe: Recipe }, context: CommandContext) {
  const spec = await specForPool(given, address);
  using pool = new Pool(address, context.config.access, (text) => context.output.note(text));
  const { runId } = await pool.submit(spec, context.interrupts.signal);
  sayStart(spec, `on the pool at ${address}`, context, runId);
  return await superviseRun(pool, runId, context);
}

/** `runId`: where other commands can reach the run. */
function sayStart(spec: RunSpec & { recipe: Recipe }, model: string, { output }: CommandContext, runId?: string): void {
  output.say(
    facts([
      ...(runId === undefined ? [] : [["run", runId] as const]),
      ...(spec.runName === "" ? [] : [["name", spec.runName] as const]),
      ...(spec.tags.length === 0 ? [] : [["tags", spec.tags.join(", ")] as const]),
      ["model", `${spec.modelId} (${model})`],
      ["data set", spec.dataset.join(" ")],
      ["output folder", spec.outputDir],
      ["dry run", spec.recipe.dryRun ? `yes: at most ${DRY_RUN_ROWS} rows and ${DRY_RUN_STEPS} steps` : "no"],
    ]),
  );
}

async function sayResult(run: Run, spec: RunSpec, { output }: CommandContext): Promise<void> {
  const { outputDir } = spec;
  if (outputDir.startsWith(OBJECT_STORE_SCHEME)) {
    output.say(facts([["output folder", outputDir]]));
    output.say(`look at: ${absoluteOutputDir(outputDir)}/loss.png`);
    return;
  }
  const files = await readdir(outputDir).catch(() => []);
  const results = files.filter((name) => !name.startsWith(".")).sort();
  output.say(
    facts([["output folder", outputDir], ...(results.length > 0 ? [["files", results.join(" ")] as const] : [])]),
  );
  const model = shellWord(run.spec?.modelId ?? spec.modelId);
  output.say(`try it:  gradpool sample --model_id ${model} --adapter ${shellWord(outputDir)} --prompt "…"`);
  output.say(`look at: ${join(outputDir, "loss.png")}`);
}

/** Quoted where a shell would split or expand it. */
function shellWord(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
