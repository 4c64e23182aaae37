/** What a run refuses before its first step: one clear line, and nothing written. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { RunState, type RunSpec } from "@gradpool/rpc";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";
import { createLogger } from "@gradpool/service-kit";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";
import { failure, runNamed } from "./support.js";
import { GOLDEN, MODEL, World, type RecipeChanges } from "./world.js";

interface Refusal {
  what: string;
  spec?: (world: World) => Partial<Omit<RunSpec, "recipe">>;
  recipe?: RecipeChanges | ((world: World) => RecipeChanges);
  code: string;
  message: RegExp;
}

/** A copy of a golden adapter, one file changed. */
function adapterCopy(world: World, file: string, change: (content: Buffer) => Buffer | string): string {
  const folder = join(world.folder, "init");
  cpSync(join(GOLDEN, "gpt2-plain", "init_adapter"), folder, { recursive: true });
  writeFileSync(join(folder, file), change(readFileSync(join(folder, file))));
  return folder;
}

const GOLDEN_LORA = { r: 8, alpha: 32, initAdapter: join(GOLDEN, "gpt2-plain", "init_adapter") };

const REFUSALS: Refusal[] = [
  {
    what: "a model folder that is not there",
    spec: () => ({ modelId: "/nowhere/at-all" }),
    code: "not_found",
    message: /\/nowhere\/at-all does not exist/,
  },
  {
    what: "rows longer than the model's positions",
    recipe: { maxLength: 129 },
    code: "invalid_argument",
    message: /max_length 129 is beyond the model's 128 positions/,
  },
  {
    what: "target modules that match nothing",
    recipe: { lora: { targetModules: ["q_proj"] } },
    code: "invalid_argument",
    message: /q_proj.*c_attn/,
  },
  {
    what: "an adapter that is not there",
    recipe: { lora: { initAdapter: "/nowhere" } },
    code: "not_found",
    message: /\/nowhere\/adapter_config.json cannot be read/,
  },
  {
    what: "an adapter of another rank",
    recipe: { lora: { ...GOLDEN_LORA, r: 4 } },
    code: "invalid_argument",
    message: /has lora_r 8, but the recipe 4; give --lora_r 8/,
  },
  {
    what: "an adapter of another alpha",
    recipe: { lora: { ...GOLDEN_LORA, alpha: 16 } },
    code: "invalid_argument",
    message: /has lora_alpha 32, but the recipe 16; give --lora_alpha 32/,
  },
  {
    what: "an adapter of other modules",
    recipe: { lora: { ...GOLDEN_LORA, targetModules: ["c_attn"] } },
    code: "failed_precondition",
    message: /does not fit/,
  },
  {
    what: "an adapter whose config is no JSON",
    recipe: (world) => ({
      lora: { ...GOLDEN_LORA, initAdapter: adapterCopy(world, "adapter_config.json", () => "{") },
    }),
    code: "data_loss",
    message: /adapter_config.json is not valid JSON/,
  },
  {
    what: "an adapter that is cut off",
    recipe: (world) => ({
      lora: {
        ...GOLDEN_LORA,
        initAdapter: adapterCopy(world, "adapter_model.safetensors", (file) => file.subarray(0, file.length - 4)),
      },
    }),
    code: "data_loss",
    message: /adapter_model.safetensors/,
  },
  {
    what: "a data set that is not there",
    spec: (world) => ({ dataset: [join(world.folder, "none.jsonl")] }),
    code: "not_found",
    message: /none.jsonl/,
  },
  {
    what: "a data set without its column",
    recipe: { textColumn: "text" },
    code: "invalid_argument",
    message: /text/,
  },
  {
    what: "an empty data set",
    spec: (world) => {
      writeFileSync(join(world.folder, "empty.jsonl"), "");
      return { dataset: [join(world.folder, "empty.jsonl")] };
    },
    code: "failed_precondition",
    message: /no rows|empty/,
  },
];

describe("preparing a run", { timeout: 240_000 }, () => {
  for (const { what, spec, recipe, code, message } of REFUSALS) {
    it(`refuses ${what}`, async () => {
      await using world = await World.start();
      const changes = typeof recipe === "function" ? recipe(world) : recipe;
      const { run } = await world.train(world.spec(spec?.(world), changes));
      assert.equal(run.state, RunState.RUN_STATE_FAILED);
      assert.equal(run.error?.code, code, run.error?.message);
      assert.match(run.error.message, message);
      assert.doesNotMatch(run.error.message, /\n/);
      assert.ok(!world.has("output") && run.preparing === "");
    });
  }

  it("fails a run that an older coordinator accepted, when its recipe is out of today's bounds", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "gradpool-preparing-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const runStore = join(folder, "runs.sqlite");
    await using world = await World.start({ runStore });
    const spec = world.spec({}, { lora: { r: 10_000 } });
    await assert.rejects(world.submit(spec), failure("invalid_argument", /lora_r is 10000, but must be at most 1024/));
    await world.restartCoordinator(async () => {
      await using store = await SqliteRunStore.open(runStore, createLogger("store", { GRADPOOL_LOG_LEVEL: "silent" }));
      await store.commit([{ type: "run", run: runNamed("run-1", { state: RunState.RUN_STATE_QUEUED, spec }) }]);
    });
    const { run } = await world.watch("run-1");
    assert.deepEqual([run.state, run.error?.code], [RunState.RUN_STATE_FAILED, "invalid_argument"]);
    assert.match(run.error?.message ?? "", /lora_r is 10000, but must be at most 1024/);
  });

  it("refuses an output folder that another coordinator's run uses", async () => {
    await using world = await World.start();
    await using other = await World.start();
    const spec = world.spec();
    await world.watch(await world.submit(spec), ({ run }) => run.state === RunState.RUN_STATE_RUNNING);
    const { run } = await other.train(spec);
    assert.deepEqual([run.state, run.error?.code], [RunState.RUN_STATE_FAILED, "failed_precondition"]);
    assert.match(run.error?.message ?? "", /is in use by run/);
  });

  it("refuses an impossible output folder", async () => {
    await using world = await World.start();
    writeFileSync(join(world.folder, "file"), "");
    const { run } = await world.train(world.spec({ outputDir: join(world.folder, "file", "output") }));
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.match(run.error?.message ?? "", /file\/output/);
  });

  it("refuses a tokenizer with more tokens than the embedding has rows", async () => {
    await using world = await World.start({ ownServices: true });
    const { tokenizer } = world.services;
    tokenizer.info = { ...tokenizer.info, vocabSize: 600, padTokenAdded: false };
    const { run } = await world.train(world.spec());
    assert.equal(run.error?.code, "invalid_argument");
    assert.match(run.error.message, /the tokenizer has 600 tokens, but the model's embedding has only 512 rows/);
  });

  for (const [what, vocabSize, padTokenAdded, padRow] of [
    ["grows the embedding by a row for an added pad token", 513, true, true],
    ["uses a spare row for an added pad token", 400, true, false],
    ["leaves the embedding as it is for a pad token of its own", 512, false, false],
  ] as const) {
    it(what, async () => {
      await using world = await World.start({ ownServices: true });
      const { tokenizer } = world.services;
      tokenizer.info = { ...tokenizer.info, vocabSize, padTokenAdded, padId: vocabSize - 1 };
      const trainer = await world.trainer();
      const { run } = await world.train(world.spec());
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.equal(trainer.tasks[0]?.base?.padRow, padRow);
      assert.equal(run.allParameters, modelParameters() + run.trainableParameters + (padRow ? 64 : 0));
      assert.equal(world.output("output/README.md").toString().includes("resize_token_embeddings"), padTokenAdded);
    });
  }

  it("starts from the adapter that is given", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ byHand: true });
    await world.submit(world.spec({}, { lora: GOLDEN_LORA }));
    await trainer.until(() => trainer.tasks.length > 0);
    const adapter = await trainer.adapterOf(trainer.tasks[0] ?? assert.fail());
    const given = readSafetensors(readFileSync(join(GOLDEN_LORA.initAdapter, "adapter_model.safetensors"))).tensors;
    assert.equal(adapter.size, given.size);
    for (const [name, tensor] of given) assert.deepEqual(adapter.get(name)?.data, toFloat32(tensor));
  });
});

/** Values of the model's tensors. */
function modelParameters(): number {
  const file = readFileSync(join(MODEL, "model.safetensors"));
  const length = Number(file.readBigUInt64LE());
  const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<string, { shape?: number[] }>;
  return Object.values(header).reduce((sum, { shape }) => sum + (shape?.reduce((a, b) => a * b, 1) ?? 0), 0);
}
