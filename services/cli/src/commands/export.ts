/** gradpool export: an adapter, or the model with the adapter in its weights, as other programs load them. */
import { bytes, counted } from "@gradpool/format";
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, MODEL_CARD_FILE } from "@gradpool/run-folder";
import { SOURCE_FILES } from "@gradpool/tokenizers";
import type { Command } from "commander";
import { ExportFolder } from "../checkpoints/export-folder.js";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { openAdaptedModel, type AdaptedModelFlags } from "../inference/adapted-model.js";
import type { AdapterFolder } from "../inference/adapter-folder.js";
import { openAdapter } from "../inference/adapter-place.js";
import { mergedModel, type FilePiece } from "../inference/merged-model.js";
import { addModelFlags } from "../inference/model-flags.js";
import { UsageError } from "../usage-error.js";

const HELP = `
Examples:
  gradpool export --model_id models/tiny-coder --adapter outputs/my-run --merged --to my-model
  gradpool export --model_id models/tiny-coder --adapter outputs/my-run --to my-adapter
${HELP_TAIL}`;

export function addExport(command: Command, options: ProgramOptions): void {
  addModelFlags(command, options)
    .option("--merged", "the whole model with the adapter merged into its weights, as transformers loads it")
    .option("--to <folder>", "folder to write; must be empty or not exist yet")
    .addHelpText("after", HELP)
    .action((flags: Omit<ExportFlags, "pad_token"> & OutputFlags) =>
      exportModel({ ...flags, pad_token: "" }, contextFor(flags, options, ["model_id", "adapter", "to"])),
    );
}

interface ExportFlags extends AdaptedModelFlags {
  adapter: string;
  /** A whole model instead of the adapter. */
  merged?: boolean;
  /** Folder that does not exist or is empty. */
  to: string;
}

/** Writes all or nothing. Errors: those of the model and the adapter; `failed_precondition` for a folder in use. */
async function exportModel(flags: ExportFlags, context: CommandContext): Promise<void> {
  const { output, config, interrupts } = context;
  if (flags.to === "") throw new UsageError("--to is empty; name the folder to write");
  const merged = flags.merged ?? false;
  const adapter = await openAdapter(flags.adapter, flags.address, context);
  const model = await openAdaptedModel(flags, config.models, adapter);
  await using folder = await ExportFolder.create(flags.to);
  const pieces = merged ? mergedModel(model) : adapterFiles(adapter);
  for await (const { name, data } of pieces) {
    await folder.write(name, data);
    output.progress(`writing ${name}, ${bytes(folder.sizeBytes)}`);
    interrupts.signal.throwIfAborted();
  }
  const to = await folder.publish();
  output.endProgress();
  const { files, sizeBytes } = folder;
  output.document({
    ...{ model_id: flags.model_id, adapter: flags.adapter, merged, to, files },
    size_bytes: sizeBytes,
  });
  output.say(
    `exported the ${merged ? "merged model" : "adapter"} to ${to} (${counted(files.length, "file")}, ${bytes(sizeBytes)})`,
  );
}

/** What PEFT needs of an adapter's folder, its tokenizer and its card. */
async function* adapterFiles(folder: AdapterFolder): AsyncGenerator<FilePiece> {
  for (const name of [ADAPTER_CONFIG_FILE, ADAPTER_FILE]) yield { name, data: await folder.read(name) };
  for (const name of [MODEL_CARD_FILE, ...SOURCE_FILES]) {
    if (name !== "config.json" && (await folder.has(name))) yield { name, data: await folder.read(name) };
  }
}
