/** gradpool checkpoint verify: reads every byte and compares it with what was saved. */
import { GradpoolError } from "@gradpool/errors";
import { bytes, counted } from "@gradpool/format";
import type { Checkpoint } from "@gradpool/rpc";
import type { Command } from "commander";
import { placeOf, type CheckpointPlace } from "../checkpoints/place.js";
import { CHECKPOINT_COLUMNS, checkpointJson, checkpointRow, printable } from "../checkpoints/shown.js";
import { checkpointCommand, type CheckpointFlags } from "../checkpoints/store-flags.js";
import { withStore, type StoreClient, type StoreFlags } from "../checkpoints/store.js";
import type { CommandContext } from "../command-context.js";
import { contextFor, JSON_LINES, jsonOption, type ProgramOptions } from "../command-options.js";
import { table } from "../terminal/format.js";

export function addCheckpointVerify(group: Command, options: ProgramOptions): void {
  const description = "check every byte of one checkpoint or all; exit code 1 when one is damaged";
  checkpointCommand(group, "verify", description, options, jsonOption(JSON_LINES))
    .argument("[name]")
    .action((folder: string, name: string | undefined, flags: CheckpointFlags) =>
      checkpointVerify(folder, name, flags, contextFor(flags, options)),
    );
}

/** Errors: `data_loss` when one is damaged; `not_found` when there is none. */
async function checkpointVerify(
  folder: string,
  name: string | undefined,
  flags: StoreFlags,
  context: CommandContext,
): Promise<void> {
  const place = placeOf(folder, name);
  const { output } = context;
  const checked = await withStore(flags, context, (store, signal) => check(store, place, context, signal));
  output.endProgress();
  output.say(
    table(
      CHECKPOINT_COLUMNS,
      checked.map((checkpoint) => checkpointRow(checkpoint, "whole")),
    ),
  );
  const damaged = checked.filter(({ damage }) => damage);
  if (damaged.length === 0) return;
  const names = damaged.map((checkpoint) => printable(checkpoint.name)).join(", ");
  const what = `${damaged.length} of ${counted(checked.length, "checkpoint")} damaged: ${names}`;
  throw new GradpoolError("data_loss", `${what}; a run resumes from the newest intact one`);
}

async function check(
  store: StoreClient,
  { outputDir, name }: CheckpointPlace,
  { output }: CommandContext,
  signal: AbortSignal,
): Promise<Checkpoint[]> {
  const { checkpoints } = await store.list({ outputDir }, { signal });
  const sizes = new Map(checkpoints.map((checkpoint) => [checkpoint.name, checkpoint.sizeBytes]));
  const names = name === undefined ? [...sizes.keys()] : [name];
  if (names.length === 0) {
    throw new GradpoolError("not_found", `output_dir ${outputDir} has no checkpoint; check its name`);
  }
  const checked: Checkpoint[] = [];
  for (const [i, one] of names.entries()) {
    output.progress(`reading ${one}, ${bytes(sizes.get(one) ?? 0)} (${i + 1} of ${names.length})`);
    const answer = await verifyOne(store, outputDir, one, name === undefined, signal);
    for (const checkpoint of answer) output.document(checkpointJson(checkpoint));
    checked.push(...answer);
  }
  return checked;
}

/** A checkpoint may be gone by the time it is read: a run saves and removes them. */
async function verifyOne(
  store: StoreClient,
  outputDir: string,
  name: string,
  mayBeGone: boolean,
  signal: AbortSignal,
): Promise<Checkpoint[]> {
  try {
    return (await store.verify({ outputDir, name }, { signal })).checkpoints;
  } catch (error) {
    if (mayBeGone && GradpoolError.from(error).code === "not_found") return [];
    throw error;
  }
}
