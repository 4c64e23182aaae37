/** A trainer's step against PEFT's and the bare product: speed and peak memory, two threads, each in a process of its own. */
import { benchProgram, PYTHON, pythonScript, runForJson } from "../../child.js";
import { gpt2SmallFolder } from "../../gpt2-small.js";
import { inTurn, ratiosOf, spreadOf } from "../../rounds.js";
import { smolLm2Folder } from "../../smollm2-135m.js";
import type { Shares } from "../../step-against-product.js";
import { shown, type Context, type Group, type Line, type Reference } from "../row.js";

interface Figures {
  tokens_per_second: number;
  peak_rss_bytes: number;
}

const CHECKPOINTING = "--gradient-checkpointing";
const OWN = {
  float32: [],
  "int8-backward": ["--base-precision", "int8-backward"],
  int8: ["--base-precision", "int8"],
  checkpointing: [CHECKPOINTING],
};
const THEIRS = {
  "PEFT float32": [],
  "PEFT bfloat16": ["--dtype", "bfloat16"],
  "PEFT float32, checkpointing": [CHECKPOINTING],
};

type Rounds = Record<string, Figures[]>;

async function measure(model: string, folder: string, context: Context): Promise<Line[]> {
  const { short, rounds, withPeft } = context;
  const flags = ["--model", folder, "--threads", "2", "--steps", short ? "3" : "6"];
  const own = Object.entries(OWN)
    .filter(([name]) => !(short && name === "int8-backward"))
    .map(
      ([name, more]) =>
        [
          name,
          () => runForJson<Figures>(process.execPath, [benchProgram("training-step.js"), ...flags, ...more]),
        ] as const,
    );
  const theirs = Object.entries(THEIRS).map(
    ([name, more]) => [name, () => runForJson<Figures>(PYTHON, [pythonScript("peft.py"), ...flags, ...more])] as const,
  );
  const contenders = Object.fromEntries([...own, ...(withPeft ? theirs : [])]);
  const found: Rounds = await inTurn(rounds, shown(context, model, contenders));
  context.progress(`${model}, float32 against the bare product`);
  const steps = ["--model", folder, "--threads", "2", "--rounds", String(short ? 2 : 3 * rounds)];
  const { wall } = await runForJson<Shares>(process.execPath, [benchProgram("limit.js"), ...steps]);
  const line = (what: string, unit: "tokens/s" | "GB", name: keyof typeof OWN, limit?: readonly number[]) =>
    lineOf(`${what}, ${model}`, unit, found, name, limit);
  return [
    line("float32", "tokens/s", "float32", wall),
    ...(short ? [] : [line("int8-backward", "tokens/s", "int8-backward")]),
    line("int8", "tokens/s", "int8"),
    line("peak memory, float32", "GB", "float32"),
    line("peak memory, gradient checkpointing", "GB", "checkpointing"),
  ];
}

/** `shares`: of the limit. */
function lineOf(
  what: string,
  unit: "tokens/s" | "GB",
  found: Rounds,
  name: keyof typeof OWN,
  shares?: readonly number[],
): Line {
  const numbers = (of: string) =>
    (found[of] ?? []).map((figures) => (unit === "GB" ? figures.peak_rss_bytes / 1e9 : figures.tokens_per_second));
  const own = numbers(name);
  const ratios: Line["ratios"] = {};
  for (const reference of ["PEFT float32", "PEFT bfloat16"] as const satisfies Reference[]) {
    const theirs = numbers(name === "checkpointing" ? `${reference}, checkpointing` : reference);
    if (theirs.length > 0) ratios[reference] = spreadOf(ratiosOf(own, theirs));
  }
  if (shares && shares.length > 0) ratios.limit = spreadOf(shares);
  return { what, unit, value: spreadOf(own), ratios };
}

const MODELS = { "GPT-2 small": gpt2SmallFolder, "SmolLM2-135M": smolLm2Folder };

export const STEPS: Group = {
  name: "steps",
  minutes: { full: 16, short: 3 },
  async measure(context) {
    const lines: Line[] = [];
    for (const [model, folder] of Object.entries(MODELS)) {
      if (context.short && lines.length > 0) break;
      lines.push(...(await measure(model, await folder(), context)));
    }
    return lines;
  },
};
