/** gradpool export: what it writes, and what it refuses. The numbers are checked by the golden tests. */
import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { readSafetensors, toFloat32, writeSafetensors, fromFloat32, type Tensor } from "@gradpool/safetensors";
import { REPOSITORY, run, TINY_CODER, withFolder } from "./support.js";

const GOLDEN = join(REPOSITORY, "integration-tests/fixtures/golden/gpt2-plain");
const ADAPTER = join(GOLDEN, "final_adapter");
const MODEL = ["--model_id", join(GOLDEN, "model")];

async function exported(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run(["export", ...argv, "--json"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const weightsOf = async (folder: string) => readSafetensors(await readFile(join(folder, "model.safetensors"))).tensors;

describe("gradpool export", () => {
  test("without --merged, the adapter's files as they are", async () => {
    await withFolder(async (folder) => {
      const checkpoint = join(REPOSITORY, "services/checkpoint-store/test/fixtures/tiny-coder-step4");
      const [to, tokenizer] = [join(folder, "new", "adapter"), join(TINY_CODER, "tokenizer.json")];
      await cp(checkpoint, join(folder, "checkpoint"), { recursive: true });
      await cp(tokenizer, join(folder, "checkpoint", "tokenizer.json"));
      const written = await exported("--model_id", TINY_CODER, "--adapter", join(folder, "checkpoint"), "--to", to);
      const files = ["adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json"];
      assert.deepEqual(written["files"], files);
      assert.deepEqual((await readdir(to)).sort(), [...files].sort());
      for (const file of files) {
        assert.deepEqual(await readFile(join(to, file)), await readFile(join(folder, "checkpoint", file)), file);
      }
    });
  });

  test("keeps the base's dtypes, and changes only what is adapted", async () => {
    await withFolder(async (folder) => {
      for (const dtype of ["BF16", "F16"] as const) {
        const [base, to] = [join(folder, dtype), join(folder, `${dtype}-merged`)];
        await cp(join(GOLDEN, "model"), base, { recursive: true });
        const narrow = new Map<string, Tensor>();
        for (const [name, tensor] of await weightsOf(base)) {
          narrow.set(name, { dtype, shape: tensor.shape, data: fromFloat32(toFloat32(tensor), dtype) });
        }
        await writeFile(join(base, "model.safetensors"), writeSafetensors(narrow));
        await exported("--model_id", base, "--adapter", ADAPTER, "--merged", "--to", to);
        await exported(...MODEL, "--adapter", ADAPTER, "--merged", "--to", `${to}-float32`);
        const [merged, exact] = [await weightsOf(to), await weightsOf(`${to}-float32`)];
        assert.deepEqual([...merged.keys()].sort(), [...narrow.keys()].sort());
        // Rounded once as the base, and once as the sum: half a unit in the last place each.
        const unit = dtype === "BF16" ? 2 ** -8 : 2 ** -11;
        for (const [name, tensor] of merged) {
          assert.equal(tensor.dtype, dtype, name);
          const isAdapted = /c_attn\.weight|c_proj\.weight/.test(name);
          const isSame = Buffer.compare(tensor.data, narrow.get(name)?.data ?? Buffer.of()) === 0;
          assert.equal(isSame, !isAdapted, name);
          const wanted = toFloat32(exact.get(name) as Tensor);
          const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          for (const [i, value] of toFloat32(tensor).entries()) {
            assert.ok(Math.abs(value - wanted[i]!) <= 2 * unit * largest, `${name}[${i}]: ${value}, ${wanted[i]}`);
          }
        }
      }
    });
  });

  test("a folder with something in it stays as it is", async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "mine"), "");
      const { code, stderr } = await run(["export", ...MODEL, "--adapter", ADAPTER, "--merged", "--to", folder]);
      assert.equal(code, 1);
      assert.match(stderr, /--to .* is not empty; choose a folder that does not exist yet\n$/);
      assert.deepEqual(await readdir(folder), ["mine"]);
    });
  });

  test("leaves no files when the base is damaged", async () => {
    await withFolder(async (folder) => {
      const base = join(folder, "base");
      await cp(join(GOLDEN, "model"), base, { recursive: true });
      const weights = join(base, "model.safetensors");
      await truncate(weights, (await readFile(weights)).byteLength - 100);
      const argv = ["export", "--model_id", base, "--adapter", ADAPTER, "--merged", "--to", join(folder, "a", "b")];
      const { code, stderr } = await run(argv);
      assert.equal(code, 1);
      assert.match(stderr, /^gradpool: .*model\.safetensors.*\n$/);
      assert.deepEqual(await readdir(folder), ["base"]);
    });
  });

  test("an adapter of another model, and an empty folder of one, are refused before anything is written", async () => {
    await withFolder(async (folder) => {
      const to = join(folder, "to");
      const other = await run(["export", "--model_id", TINY_CODER, "--adapter", ADAPTER, "--merged", "--to", to]);
      assert.match(other.stderr, /^gradpool: the adapter does not fit: .*\n$/);
      await mkdir(join(folder, "empty"));
      const none = await run(["export", ...MODEL, "--adapter", join(folder, "empty"), "--to", to]);
      assert.match(none.stderr, /adapter_config.json cannot be read \(ENOENT\); give a folder/);
      assert.deepEqual(await readdir(folder), ["empty"]);
    });
  });
});
