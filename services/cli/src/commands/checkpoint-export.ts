/** gradpool checkpoint export: an adapter out of a checkpoint, as PeftModel.from_pretrained loads it. */
import { GradpoolError } from "@gradpool/errors";
import { bytes, counted } from "@gradpool/format";
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, TRAINER_STATE_FILE, TRAINING_STATE_FILE } from "@gradpool/run-folder";
import type { Command } from "commander";
import { ExportFolder } from "../checkpoints/export-folder.js";
import { onePlaceOf } from "../checkpoints/place.js";
import { checkpointCommand } from "../checkpoints/store-flags.js";
import { withStore, type StoreClient, type StoreFlags } from "../checkpoints/store.js";
import type { CommandContext } from "../command-context.js";
import { contextFor, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { UsageError } from "../usage-error.js";

export function addCheckpointExport(group: Command, options: ProgramOptions): void {
  checkpointCommand(group, "export", "write a checkpoint's adapter and tokenizer as PEFT loads them", options)
    .argument("[name]", `a checkpoint, or "latest"`)
    .option("--to <folder>", "folder to write; must be empty or not exist yet")
    .action((folder: string, name: string | undefined, flags: CheckpointExportFlags & OutputFlags) =>
      checkpointExport(folder, name, flags, contextFor(flags, options, ["to"])),
    );
}

/** Names the newest whole checkpoint. */
const LATEST = "latest";
/** What training resumes from; not needed to load the adapter. */
const TRAINING_STATE = [TRAINING_STATE_FILE, TRAINER_STATE_FILE];
/** Without these there is no adapter. */
const NEEDED = [ADAPTER_CONFIG_FILE, ADAPTER_FILE];

interface CheckpointExportFlags extends StoreFlags {
  /** Folder that does not exist or is empty. */
  to: string;
}

/** Writes all or nothing. Errors: those of Load; `failed_precondition` for a folder in use and for a recovery point. */
async function checkpointExport(
  folder: string,
  name: string | undefined,
  flags: CheckpointExportFlags,
  context: CommandContext,
): Promise<void> {
  const place = onePlaceOf(folder, name);
  if (flags.to === "") throw new UsageError("--to is empty; name the folder to write");
  const { output } = context;
  const written = await withStore(flags, context, async (store, signal) => {
    if (place.name !== LATEST) return exportOne(store, place.outputDir, place.name, flags.to, context, signal);
    return exportLatest(store, place.outputDir, flags.to, context, signal);
  });
  output.endProgress();
  output.document({ checkpoint: written.name, to: written.to, files: written.files, size_bytes: written.sizeBytes });
  const size = `${counted(written.files.length, "file")}, ${bytes(written.sizeBytes)}`;
  output.say(`exported ${written.name} to ${written.to} (${size})`);
}

interface Written {
  name: string;
  /** Full path. */
  to: string;
  files: string[];
  sizeBytes: number;
}

/** The newest that is whole, recovery points aside: those hold no adapter that PEFT can load. */
async function exportLatest(
  store: StoreClient,
  outputDir: string,
  to: string,
  context: CommandContext,
  signal: AbortSignal,
): Promise<Written> {
  const listed = (await store.list({ outputDir }, { signal })).checkpoints.filter(({ recovery }) => !recovery);
  for (const { name } of listed) {
    try {
      return await exportOne(store, outputDir, name, to, context, signal);
    } catch (reason) {
      const { code, message } = GradpoolError.from(reason);
      if (code !== "data_loss" && code !== "not_found") throw reason;
      context.output.note(message);
    }
  }
  const problem = listed.length === 0 ? "has no checkpoint" : "has only damaged checkpoints";
  throw new GradpoolError(
    listed.length === 0 ? "not_found" : "data_loss",
    `output_dir ${outputDir} ${problem}; see gradpool checkpoint list`,
  );
}

async function exportOne(
  store: StoreClient,
  outputDir: string,
  name: string,
  to: string,
  { output }: CommandContext,
  signal: AbortSignal,
): Promise<Written> {
  await using folder = await ExportFolder.create(to);
  let readBytes = 0;
  // The store checks each file against its SHA-256 before it sends the file's last piece.
  for await (const { path, data } of store.load({ outputDir, name, paths: [], runId: "" }, { signal })) {
    output.progress(`reading ${name}, ${bytes((readBytes += data.byteLength))}`);
    if (!TRAINING_STATE.includes(path)) await folder.write(path, data);
  }
  const missing = NEEDED.find((file) => !folder.files.includes(file));
  if (missing) {
    const advice = "export a checkpoint whose name does not begin with a dot";
    throw new GradpoolError("failed_precondition", `${name} has no ${missing}, which PEFT needs; ${advice}`);
  }
  return { name, to: await folder.publish(), files: folder.files, sizeBytes: folder.sizeBytes };
}
