/**
 * Where a training step's time goes, by ONNX Runtime's own profile: milliseconds by op, and for each kind of matrix
 * product its GFLOP/s. Prints a table, mean of the warm steps.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BASE_PRECISIONS } from "@gradpool/models";
import { gpt2SmallFolder } from "./gpt2-small.js";
import { smolLm2Folder } from "./smollm2-135m.js";
import { openStep } from "./step.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "gpt2" },
    steps: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    "base-precision": { type: "string", default: "float32" },
    "gradient-checkpointing": { type: "boolean", default: false },
    places: { type: "string", default: "24" },
  },
});

const basePrecision = BASE_PRECISIONS.find((precision) => precision === values["base-precision"]);
if (!basePrecision) throw new Error(`--base-precision is ${BASE_PRECISIONS.join(", ")}`);

interface ProfileEvent {
  cat: string;
  name: string;
  ts: number;
  dur: number;
  args: {
    op_name?: string;
    input_type_shape?: Record<string, number[]>[];
    output_type_shape?: Record<string, number[]>[];
  };
}

const folder = await mkdtemp(join(tmpdir(), "gradpool-profile-"));
const step = await openStep(values.model === "gpt2" ? await gpt2SmallFolder() : await smolLm2Folder(), {
  threads: Number(values.threads),
  basePrecision,
  gradientCheckpointing: values["gradient-checkpointing"],
  profilePrefix: join(folder, "profile"),
});
const WARM_UP = 2;
for (let number = 1; number <= WARM_UP + Number(values.steps); number++) await step.run(number);
await step[Symbol.asyncDispose]();

const [file] = await readdir(folder);
const events = JSON.parse(await readFile(join(folder, file ?? ""), "utf8")) as ProfileEvent[];
await rm(folder, { recursive: true });
const runs = events.filter(({ name }) => name === "model_run").sort((a, b) => a.ts - b.ts);
const warm = runs.slice(WARM_UP);
const from = warm[0]?.ts ?? 0;
const nodes = events.filter(({ cat, name, ts }) => cat === "Node" && name.endsWith("_kernel_time") && ts >= from);

const shapesOf = (list: Record<string, number[]>[] | undefined) =>
  (list ?? []).flatMap((one) => Object.values(one).map((shape) => `[${shape.join(",")}]`));

interface Line {
  ms: number;
  count: number;
  flops: number;
}
const [byOp, byPlace] = [new Map<string, Line>(), new Map<string, Line>()];
function count(lines: Map<string, Line>, key: string, ms: number, flops: number): void {
  const line = lines.get(key) ?? { ms: 0, count: 0, flops: 0 };
  lines.set(key, { ms: line.ms + ms, count: line.count + 1, flops: line.flops + flops });
}
for (const { dur, args } of nodes) {
  const op = args.op_name ?? "?";
  const isProduct = /MatMul|Gemm/.test(op);
  const [a, b] = (args.input_type_shape ?? []).map((one) => Object.values(one)[0] ?? []);
  const output = Object.values(args.output_type_shape?.[0] ?? {})[0] ?? [];
  const product = (shape: number[]) => shape.reduce((x, y) => x * y, 1);
  // Of [M, K] and [K, N], whichever is turned: 2·M·N·K = 2·√(MK·KN·MN).
  const batchSize = product(output.slice(0, -2));
  const flops =
    isProduct && a && b
      ? 2 *
        batchSize *
        Math.sqrt(
          (product(a) / batchSize) * (product(b) / (b.length > 2 ? batchSize : 1)) * (product(output) / batchSize),
        )
      : 0;
  count(byOp, op, dur / 1000, flops);
  count(
    byPlace,
    `${op} ${shapesOf(args.input_type_shape).join(" ")} -> ${shapesOf(args.output_type_shape).join(" ")}`,
    dur / 1000,
    flops,
  );
}
const steps = warm.length;
const stepMs = warm.reduce((sum, { dur }) => sum + dur, 0) / steps / 1000;
const inNodes = nodes.reduce((sum, { dur }) => sum + dur, 0) / steps / 1000;
console.log(
  `step ${stepMs.toFixed(1)} ms, in nodes ${inNodes.toFixed(1)} ms, best ${(Math.min(...warm.map(({ dur }) => dur)) / 1000).toFixed(1)} ms`,
);
function show(lines: Map<string, Line>, most: number): void {
  for (const [key, { ms, count, flops }] of [...lines].sort(([, a], [, b]) => b.ms - a.ms).slice(0, most)) {
    const rate = flops > 0 ? `${(flops / ms / 1e6).toFixed(0)} GFLOP/s` : "";
    console.log(
      `${(ms / steps).toFixed(1).padStart(8)} ms ${((100 * ms) / steps / stepMs).toFixed(1).padStart(5)} % ${String(count / steps).padStart(5)} × ${key} ${rate}`,
    );
  }
}
show(byOp, 40);
console.log();
show(byPlace, Number(values.places));
