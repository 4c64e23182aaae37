/** gradpool run plot: one or more runs as pictures, from a pool or from output folders. */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { loadDrawing, MAX_PLOTTED_RUNS, PLOTS, type PlotName } from "@gradpool/plots";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onPool, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { oneOf } from "../flags.js";
import { readHistories } from "../runs/histories.js";
import { namesOf, type RunHistory } from "../runs/run-history.js";
import { facts } from "../terminal/format.js";
import { UsageError } from "../usage-error.js";

const HELP = `
A RUN is a run's id or name, or an output folder; folders need no pool. Several runs are compared in one picture.

Examples:
  gradpool run plot outputs/my-run
  gradpool run plot outputs/rank-8 outputs/rank-16 --what all --format svg --to pictures
  gradpool run plot RUN_ID --what learning_rate --to rate.png
${HELP_TAIL}`;

export function addRunPlot(run: Command, options: ProgramOptions): void {
  const command = run.command("plot").description("plot runs, finished or still running").argument("<run...>");
  onPool(command, options)
    .addOption(new Option("--what <quantity>", PLOTTED.join(", ")).argParser(oneOf(PLOTTED)).default(PLOTTED[0]))
    .option("--to <place>", "file that ends in .png or .svg, or a folder (default: here, named after run and quantity)")
    .addOption(
      new Option(
        "--format <format>",
        `${PICTURE_FORMATS.join(" or ")} (default: by the ending of --to, else png)`,
      ).argParser(oneOf(PICTURE_FORMATS)),
    )
    .addHelpText("after", HELP)
    .action((runs: string[], flags: RunPlotFlags & OutputFlags) => runPlot(runs, flags, contextFor(flags, options)));
}

/** The plots in the spelling of flags. */
export const PLOTTED = [...PLOTS.map(flagOf), "all"] as const;
export const PICTURE_FORMATS = ["png", "svg"] as const;
type PictureFormat = (typeof PICTURE_FORMATS)[number];

interface RunPlotFlags {
  address: string;
  what: string;
  /** A file, or a folder for files of their own names. */
  to?: string;
  format?: PictureFormat;
}

async function runPlot(runs: string[], flags: RunPlotFlags, context: CommandContext): Promise<void> {
  const named = [...new Set(runs)];
  if (named.length > MAX_PLOTTED_RUNS) {
    throw new UsageError(`${named.length} runs are too many for one picture; name at most ${MAX_PLOTTED_RUNS}`);
  }
  const what = PLOTS.filter((plot) => flags.what === "all" || flagOf(plot) === flags.what);
  const place = await placeOf(flags, what);
  const histories = await readHistories(named, flags.address, context);
  const withoutSteps = histories.find(({ steps }) => steps.length === 0);
  if (withoutSteps) {
    const advice = "plot it after its first step";
    throw new GradpoolError("failed_precondition", `run ${withoutSteps.name} has no steps yet; ${advice}`);
  }
  const labels = namesOf(histories);
  const labelled = histories.map((history, i) => ({ ...history, name: labels[i]! }));
  const { plotSvg, rasterize } = await loadDrawing();
  const pictures = what.map((plot) => ({ plot, path: place.pathOf(plot, histories) }));
  await written(place.folder, () => mkdir(place.folder, { recursive: true }));
  for (const { plot, path } of pictures) {
    const svg = plotSvg(plot, titleOf(labelled), labelled);
    await written(path, () => writeFile(path, place.format === "svg" ? svg : rasterize(svg)));
  }
  context.output.document({
    runs: histories.map(({ name, runId, runName, steps }) => ({
      ...{ name, run_id: runId, run_name: runName || undefined, steps: steps.length },
    })),
    plots: pictures.map(({ plot, path }) => ({ what: flagOf(plot), format: place.format, path })),
  });
  context.output.say(facts(pictures.map(({ plot, path }) => [plot, path] as const)));
}

/** "learning-rate" as learning_rate. */
function flagOf(plot: PlotName): string {
  return plot.replaceAll("-", "_");
}

interface Place {
  folder: string;
  format: PictureFormat;
  pathOf: (plot: PlotName, histories: readonly RunHistory[]) => string;
}

/** Errors: UsageError when --to and --format contradict each other. */
async function placeOf({ to, format }: RunPlotFlags, what: readonly PlotName[]): Promise<Place> {
  if (to === "") throw new UsageError("--to is empty; give a file or a folder");
  const ending = PICTURE_FORMATS.find((one) => extname(to ?? "").toLowerCase() === `.${one}`);
  const isFolder = to !== undefined && (await stat(to).catch(() => undefined))?.isDirectory() === true;
  if (to === undefined || isFolder || !ending) {
    const folder = to ?? ".";
    const shown = format ?? "png";
    return { folder, format: shown, pathOf: (plot, runs) => join(folder, `${stemOf(runs)}-${plot}.${shown}`) };
  }
  if (format && format !== ending) throw new UsageError(`--to ${to} ends in ${ending}, but --format is ${format}`);
  if (what.length > 1) throw new UsageError(`--to ${to} is one file for ${what.length} plots; give a folder`);
  return { folder: dirname(to), format: ending, pathOf: () => to };
}

const stemOf = (histories: readonly RunHistory[]) => (histories.length === 1 ? histories[0]!.name : "compared");

function titleOf(histories: readonly RunHistory[]): string {
  const [first] = histories;
  const model = first?.settings["model_id"];
  if (histories.length === 1) return typeof model === "string" ? `${first!.name}: ${model}` : first!.name;
  return `${histories.length} runs`;
}

async function written(path: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new GradpoolError("failed_precondition", `${path} cannot be written (${code}); choose another --to`, {
      cause,
    });
  }
}
