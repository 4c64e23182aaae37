/** `gradpool train` with its default recipe against the script that it replaces (peft_run.py), from the command to the result. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GRADPOOL, PYTHON, pythonScript, runChild, type Finished } from "../../child.js";
import { inTurn, ratiosOf, spreadOf } from "../../rounds.js";
import { smolLm2Folder } from "../../smollm2-135m.js";
import { shown, type Group, type Line } from "../row.js";

/** Seconds to the end of the first step, and to the command's end. */
interface Times {
  first: number;
  whole: number;
}

const isFirstStep = (line: string) => {
  const { event, step } = JSON.parse(line) as { event?: string; step?: number };
  return event === "step" && step === 1;
};
const timesOf = ({ lines, seconds }: Finished): Times => ({
  first: lines.find(({ text }) => isFirstStep(text))?.seconds ?? NaN,
  whole: seconds,
});

/** More tokens than a row takes, and no two rows alike. */
const row = (i: number) => `${i} ${Array.from({ length: 200 }, (_, k) => `word${(i * 7 + k * k) % 991}`).join(" ")}`;

export const COMMAND: Group = {
  name: "command",
  minutes: { full: 10, short: 1 },
  async measure(context) {
    const { folder, short, withPeft } = context;
    const rows = short ? 16 : 160;
    const model = await smolLm2Folder();
    const dataset = join(folder, "command.jsonl");
    const texts = Array.from({ length: rows }, (_, i) => `${JSON.stringify({ content: row(i) })}\n`);
    await writeFile(dataset, texts.join(""));
    const env = { GRADPOOL_HOME: join(folder, "home") };
    const output = join(folder, "command");
    const timed = (command: string, args: readonly string[]) => async () => {
      await rm(output, { recursive: true, force: true });
      return timesOf(await runChild(command, [...args, output], env));
    };
    const recipe = ["--model_id", model, "--dataset", dataset, "--target_modules", "q_proj,v_proj", "--epochs", "1"];
    const own = (precision: string) =>
      timed(process.execPath, [
        ...[GRADPOOL, "train", ...recipe, "--base_precision", precision],
        ...["--device", "cpu", "--json", "--output_dir"],
      ]);
    const theirs = (dtype: string) =>
      timed(PYTHON, [
        ...[pythonScript("peft_run.py"), "--model", model, "--dataset", dataset],
        ...["--dtype", dtype, "--output"],
      ]);
    const peft = { "PEFT float32": theirs("float32"), "PEFT bfloat16": theirs("bfloat16") };
    const contenders = { float32: own("float32"), int8: own("int8"), ...(withPeft && peft) };
    const what = `train, ${rows} rows, SmolLM2-135M`;
    const found = await inTurn(context.rounds, shown(context, what, contenders));
    const line = (title: string, name: "float32" | "int8", key: keyof Times): Line => {
      const seconds = (of: string) => (found[of] ?? []).map((times) => times[key]);
      const references = withPeft ? (["PEFT float32", "PEFT bfloat16"] as const) : [];
      // The other's seconds ÷ ours: how many times as fast.
      const ratios = references.map((of) => [of, spreadOf(ratiosOf(seconds(of), seconds(name)))]);
      const value = spreadOf(seconds(name));
      return { what: title, unit: "s", value, ratios: Object.fromEntries(ratios) as Line["ratios"] };
    };
    return [
      line(`${what}, float32`, "float32", "whole"),
      line(`${what}, int8`, "int8", "whole"),
      line("the same, float32, to the end of the first step", "float32", "first"),
    ];
  },
};
