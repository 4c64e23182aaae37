/**
 * What base_precision does to a run: the same LoRA steps in float32, int8-backward and int8, on this project's sources, and
 * after them the loss of held-out rows, with the base in float32. Prints a JSON line.
 */
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { initAdapter, type AdapterTensors } from "@gradpool/adapter";
import { cosine } from "@gradpool/integration-tests";
import { convertedGguf, openModel } from "@gradpool/model-source";
import { BASE_PRECISIONS, namedTargets, selectTargets } from "@gradpool/models";
import { AdamW, clipGradNorm } from "@gradpool/optim";
import { LossSession, TrainingSession, type Batch } from "@gradpool/runtime";
import { loadTokenizer } from "@gradpool/tokenizers";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    steps: { type: "string", default: "200" },
    rows: { type: "string", default: "2" },
    length: { type: "string", default: "128" },
    "held-out": { type: "string", default: "16" },
    "learning-rate": { type: "string", default: "3e-4" },
    threads: { type: "string", default: "2" },
  },
});
const repository = new URL("../../../", import.meta.url);
const [steps, rows, rowLength] = [Number(values.steps), Number(values.rows), Number(values.length)];
const threads = Number(values.threads);

const model = values.model ?? fileURLToPath(new URL("models/tiny-coder", repository));
const cacheDir = join(tmpdir(), "gradpool-bench");
const source = await openModel(model.endsWith(".gguf") ? await convertedGguf(model, model, cacheDir) : model);
const tokenizer = await loadTokenizer(source.dir, "");
const targets = selectTargets(source.model.description, namedTargets(source.model.description, ["auto"]));

/** Rows of `rowLength` tokens from the files, one after the other. */
async function rowsOf(folder: string): Promise<number[][]> {
  const dir = fileURLToPath(new URL(folder, repository));
  const files = (await readdir(dir, { recursive: true })).filter((file) => /\.ts$/.test(file)).sort();
  const found: number[][] = [];
  for (const file of files) {
    const ids = [...tokenizer.encode(await readFile(join(dir, file), "utf8"))];
    for (let at = 0; at + rowLength <= ids.length; at += rowLength) found.push(ids.slice(at, at + rowLength));
  }
  return found;
}

const batchOf = (group: number[][]): Batch => ({
  ...{ rows: group.length, rowLength, ids: Int32Array.from(group.flat()) },
  lengths: group.map(({ length }) => length),
});

const training = await rowsOf("services/coordinator/src");
const heldOut = (await rowsOf("packages/models/src")).slice(0, Number(values["held-out"]));
const adapterOf = (tensors: AdapterTensors) => ({ tensors, scaling: 4 });

async function heldOutLoss(tensors: AdapterTensors): Promise<number> {
  await using session = await LossSession.create({ source, targets, padRow: false }, { threads });
  let [sum, tokens] = [0, 0];
  for (let at = 0; at < heldOut.length; at += rows) {
    const { lossSum, targetTokens } = await session.run(batchOf(heldOut.slice(at, at + rows)), adapterOf(tensors));
    [sum, tokens] = [sum + lossSum, tokens + targetTokens];
  }
  return sum / tokens;
}

const result: Record<string, object> = {};
let exact: AdapterTensors | undefined;
for (const basePrecision of BASE_PRECISIONS) {
  const tensors = initAdapter(targets, 8, 0);
  const optimizer = new AdamW(tensors, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
  await using session = await TrainingSession.create(
    { source, targets, padRow: false },
    { threads, dropout: false, basePrecision },
  );
  const losses: number[] = [];
  let first: AdapterTensors | undefined;
  for (let step = 0; step < steps; step++) {
    const group = Array.from({ length: rows }, (_, i) => training[(step * rows + i) % training.length] ?? []);
    const { lossSum, targetTokens, gradients } = await session.run(batchOf(group), adapterOf(tensors));
    losses.push(lossSum / targetTokens);
    for (const { data } of gradients.values()) data.forEach((value, i) => (data[i] = value / targetTokens));
    first ??= structuredClone(gradients);
    clipGradNorm(gradients, 1);
    optimizer.step(gradients, Number(values["learning-rate"]));
  }
  exact ??= first;
  const last = losses.slice(-10).reduce((sum, loss) => sum + loss, 0) / Math.min(10, steps);
  result[basePrecision] = {
    first_loss: losses[0],
    last_ten_losses: last,
    held_out_loss: await heldOutLoss(tensors),
    cosine_of_first_gradients: first && exact && cosine(first, exact),
  };
  console.error(basePrecision, JSON.stringify(result[basePrecision]));
}
const untrained = await heldOutLoss(initAdapter(targets, 8, 0));
console.log(JSON.stringify({ steps, rows, rowLength, untrained_held_out_loss: untrained, ...result }));
