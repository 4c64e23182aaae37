/** Model and data set by their names on the hub, through the command line and all services: the same as from local files. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { FakeHub, fingerprint, gradpool, TINY_CODER, Workspace } from "@gradpool/integration-tests";

const row = (i: number) => JSON.stringify({ content: `def f${i}(x):\n    return x + ${i * 7}\n` });
const shard = (from: number, rows: number) => Array.from({ length: rows }, (_, i) => `${row(from + i)}\n`).join("");

test(
  "gradpool train without flags: codeparrot-small on codeparrot, from an unreliable hub",
  { timeout: 300_000 },
  async () => {
    await using workspace = await Workspace.create();
    await using hub = await FakeHub.start();
    // Shards like those of codeparrot-clean, and a small model under the default name.
    const shards = { "file-000000000001.json.gz": shard(0, 30), "file-000000000002.json.gz": shard(30, 31) };
    await mkdir(workspace.path("rows"));
    for (const [name, text] of Object.entries(shards)) await writeFile(workspace.path("rows", name), gzipSync(text));
    await writeFile(workspace.path("rows.jsonl"), Object.values(shards).join(""));
    await hub.create("model", "codeparrot/codeparrot-small").commit(TINY_CODER);
    await hub.create("dataset", "codeparrot/codeparrot-clean").commit(workspace.path("rows"));
    hub.inject({ on: /model\.safetensors/, at: "storage", times: 1, kind: "cut", afterBytes: 100_000 });
    hub.inject({ on: /file-000000000002/, times: 1, kind: "status", status: 503 });

    const home = workspace.path("home");
    const recipe = ["--max_length", "64", "--epochs", "1"];
    const online = { HF_ENDPOINT: hub.endpoint, HF_HOME: workspace.path("hf") };
    const train = (out: string, env: NodeJS.ProcessEnv, ...flags: string[]) =>
      gradpool(["train", "--output_dir", workspace.path(out), ...recipe, ...flags], home, env);
    const fromHub = await train("hub", online);
    assert.equal(fromHub.code, 0, fromHub.stderr);
    assert.match(fromHub.stdout, /codeparrot\/codeparrot-small/);
    assert.match(fromHub.stderr, /downloading the model: \d+ %/);

    const local = await train("local", {}, "--model_id", TINY_CODER, "--dataset", workspace.path("rows.jsonl"));
    assert.equal(local.code, 0, local.stderr);
    assert.deepEqual(await fingerprint(workspace.path("hub")), await fingerprint(workspace.path("local")));

    // The model is in the cache by now, the data set is not.
    const offline = await train("offline", { ...online, HF_HUB_OFFLINE: "1" });
    assert.equal(offline.code, 1);
    assert.match(offline.stderr, /gradpool: codeparrot\/codeparrot-clean .*unset HF_HUB_OFFLINE/);
    const dataset = ["--dataset", workspace.path("rows.jsonl")];
    const again = await train("again", { ...online, HF_HUB_OFFLINE: "1" }, ...dataset);
    assert.equal(again.code, 0, again.stderr);

    const none = await train("none", online, "--model_id", "org/nowhere");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /gradpool: model_id: org\/nowhere is not a folder here, and .*\n$/);
  },
);

test("a Llama at a revision: adapter_config.json names both, and the modules that PEFT names", async () => {
  await using workspace = await Workspace.create();
  await using hub = await FakeHub.start();
  const fixture = fileURLToPath(new URL("../../fixtures/trl/", import.meta.url));
  // The main branch holds another model.
  const model = hub.create("model", "org/llama");
  await model.commit(TINY_CODER);
  await model.commit(`${fixture}llama`, "v1");
  const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: workspace.path("hf") };
  const train = async (...more: string[]) => {
    const out = ["--output_dir", workspace.path("out"), "--overwrite_output_dir"];
    const data = ["--dataset", `${fixture}texts.jsonl`, "--epochs", "1", "--max_length", "64"];
    const argv = ["train", "--model_id", "org/llama@v1", ...out, ...data, ...more];
    const { code, stdout, stderr } = await gradpool(argv, workspace.path("home"), env);
    assert.equal(code, 0, stderr);
    const config = await readFile(workspace.path("out", "adapter_config.json"), "utf8");
    return { stdout, config: JSON.parse(config) as Record<string, unknown> };
  };
  const plain = await train();
  assert.ok(plain.stdout.includes("target_modules: q_proj, v_proj, which PEFT adapts by default in a llama"));
  assert.equal(plain.config["base_model_name_or_path"], "org/llama");
  assert.equal(plain.config["revision"], "v1");
  assert.deepEqual(plain.config["target_modules"], ["q_proj", "v_proj"]);

  const expected = JSON.parse(await readFile(`${fixture}expected.json`, "utf8")) as { all_linear: string[] };
  const { config } = await train("--target_modules", "all-linear");
  assert.deepEqual(config["target_modules"], expected.all_linear);
});

test(
  "held-out data of a data set on the hub or of a folder: its test split, another one, a share of its rows",
  { timeout: 300_000 },
  async () => {
    await using workspace = await Workspace.create();
    await using hub = await FakeHub.start();
    const splits = { train: shard(0, 30), test: shard(30, 6), extra: shard(36, 3) };
    await mkdir(workspace.path("splits", "data"), { recursive: true });
    for (const [split, text] of Object.entries(splits)) {
      await writeFile(workspace.path("splits", "data", `${split}-00000-of-00001.jsonl`), text);
      await writeFile(workspace.path(`${split}.jsonl`), text);
    }
    await hub.create("dataset", "org/splits").commit(workspace.path("splits"));
    await mkdir(workspace.path("one"));
    await writeFile(workspace.path("one", "rows.jsonl"), splits.train);
    await hub.create("dataset", "org/one").commit(workspace.path("one"));
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: workspace.path("hf") };
    const recipe = ["--model_id", TINY_CODER, "--max_length", "64", "--epochs", "1"];
    const train = (out: string, ...flags: string[]) =>
      gradpool(["train", "--output_dir", workspace.path(out), ...recipe, ...flags], workspace.path("home"), env);
    const fingerprintOf = async (out: string, ...flags: string[]) => {
      const { code, stdout, stderr } = await train(out, ...flags);
      assert.equal(code, 0, stderr);
      return { stdout, result: await fingerprint(workspace.path(out)) };
    };
    const [trained, tested] = [workspace.path("train.jsonl"), workspace.path("test.jsonl")];
    const plain = await fingerprintOf("plain", "--dataset", trained, "--eval_dataset", tested);
    for (const source of ["org/splits", workspace.path("splits")]) {
      const chosen = await fingerprintOf(
        "chosen",
        "--overwrite_output_dir",
        "--dataset",
        source,
        "--eval_dataset",
        source,
      );
      assert.deepEqual(chosen.result, plain.result);
      assert.ok(chosen.stdout.includes(`held-out data: ${source}: test`), chosen.stdout);
    }
    const extra = ["--dataset", trained, "--eval_dataset", workspace.path("extra.jsonl")];
    const named = await fingerprintOf("named", "--dataset", "org/splits", "--eval_split", "extra");
    assert.deepEqual(named.result, (await fingerprintOf("extra", ...extra)).result);

    const share = await fingerprintOf("share", "--dataset", "org/one", "--eval_fraction", "0.2");
    assert.equal(share.result.evaluations?.length, 1);
    assert.ok(share.result.losses.length < plain.result.losses.length);

    const silent = await train("silent", "--dataset", "org/one", "--eval_dataset", "org/one");
    assert.equal(silent.code, 1);
    assert.match(
      silent.stderr,
      /org\/one has no split validation, .*; name one of train with --eval_split, or .*--eval_fraction/,
    );
    const file = await train("file", "--dataset", trained, "--eval_split", "test");
    assert.equal(file.code, 1);
    assert.match(file.stderr, /train\.jsonl has no splits, so no test/);
  },
);
