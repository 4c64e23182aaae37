/** What sessions take of memory besides the mapped file. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openModel } from "@gradpool/model-source";
import { LossSession } from "@gradpool/runtime";
import { writeSafetensors, type Tensor } from "@gradpool/safetensors";

const ROLLUP = "/proc/self/smaps_rollup";
const WIDTH = 1024;
const CONFIG = { model_type: "gpt2", n_embd: WIDTH, n_head: 16, n_layer: 1, n_positions: 64, vocab_size: 64 };

/** Bytes of this process that are not backed by a file. */
async function anonymousBytes(): Promise<number> {
  const [, kilobytes] = /^Anonymous:\s+(\d+) kB$/m.exec(await readFile(ROLLUP, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/** One block of GPT-2, 50 MB. */
function weights(): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  const add = (name: string, ...shape: number[]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    tensors.set(name, {
      dtype: "F32",
      shape,
      data: new Uint8Array(Float32Array.from({ length: size }, () => 0.01).buffer),
    });
  };
  add("wte.weight", CONFIG.vocab_size, WIDTH);
  add("wpe.weight", CONFIG.n_positions, WIDTH);
  for (const norm of ["h.0.ln_1", "h.0.ln_2", "ln_f"])
    for (const part of ["weight", "bias"]) add(`${norm}.${part}`, WIDTH);
  const linear = (name: string, rows: number, columns: number) => {
    add(`h.0.${name}.weight`, rows, columns);
    add(`h.0.${name}.bias`, columns);
  };
  linear("attn.c_attn", WIDTH, 3 * WIDTH);
  linear("attn.c_proj", WIDTH, WIDTH);
  linear("mlp.c_fc", WIDTH, 4 * WIDTH);
  linear("mlp.c_proj", 4 * WIDTH, WIDTH);
  return tensors;
}

test(
  "I9: a session for evaluations has no copy of the weights",
  { skip: !existsSync(ROLLUP) && "needs /proc" },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), "gradpool-copies-"));
    try {
      const file = writeSafetensors(weights());
      await writeFile(join(dir, "model.safetensors"), file);
      await writeFile(join(dir, "config.json"), JSON.stringify(CONFIG));
      const base = { source: await openModel(dir), targets: [], padRow: false };
      const batch = { rows: 1, rowLength: 8, ids: new Int32Array(8), lengths: [8] };
      // ONNX Runtime itself is loaded with the first.
      await using first = await LossSession.create(base, { threads: 1 });
      const { lossSum } = await first.run(batch);
      const before = await anonymousBytes();
      await using second = await LossSession.create(base, { threads: 1 });
      assert.equal((await second.run(batch)).lossSum, lossSum);
      const grown = (await anonymousBytes()) - before;
      assert.ok(grown < file.byteLength / 2, `${grown} bytes for ${file.byteLength} bytes of weights`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
);
