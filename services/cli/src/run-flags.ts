/** Flags of the commands that start a run: train and run submit. */
import { Option, type Command } from "commander";
import { addRecipeFlags, tagsOption } from "./flags.js";

const DEFAULT_MODEL = "codeparrot/codeparrot-small";
/** Short for codeparrot/codeparrot-clean. */
const DEFAULT_DATASET = "codeparrot";

/** The flags that say what to train. */
export function addRunFlags(command: Command): Command {
  command
    .option("--model_id <model>", "folder as save_pretrained writes it, .gguf file, or name on the hub", DEFAULT_MODEL)
    .addOption(
      new Option("--dataset <sources...>", "files, folders, globs, data sets of the hub, or synthetic").default(
        [DEFAULT_DATASET],
        DEFAULT_DATASET,
      ),
    )
    .option(
      "--eval_dataset <sources...>",
      "held-out data, evaluated as --eval_every says; of data with splits, validation or test",
    )
    .option("--run_name <name>", "what to call the run in lists, charts, traces and events")
    .addOption(tagsOption("--tags <tags...>", "labels to find the run by"))
    .addOption(
      tagsOption(
        "--report_to <names...>",
        "where to report besides the output folder: mlflow, the coordinator's server",
      ),
    )
    .option("--output_dir <folder>", "folder for the result (default: outputs/<model>-<date>-<time>)")
    .option("--overwrite_output_dir", "replace the result of another run in output_dir")
    .option("--resume_from <folder>", "checkpoint to resume from, or latest: the newest intact one in output_dir")
    .option("--resume_if_exists", "start from scratch when the folder of --resume_from does not exist")
    .option("--resume_weights_only", "take only the adapter from the checkpoint; the recipe may differ");
  return addRecipeFlags(command);
}
