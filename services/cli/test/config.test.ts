/** Profiles, files for --config, and gradpool config. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { RunSpec } from "@gradpool/rpc";
import { runOf, startFakePool } from "./fake-pool.js";
import { run, withFolder, type Finished } from "./support.js";

const PROFILES = `
profile: quiet
profiles:
  quiet: { output: yaml }
  team:
    address: 127.0.0.1:2
    defaults: { learning_rate: 1e-3, batch_size: 6, rank_pattern: { c_proj: 4 } }
`;

/** A home with that config.yaml. */
async function withHome(config: string, work: (env: NodeJS.ProcessEnv, home: string) => Promise<void>): Promise<void> {
  await withFolder(async (home) => {
    await writeFile(join(home, "config.yaml"), config);
    await work({ GRADPOOL_HOME: home }, home);
  });
}

/** Submits a run, and gives what arrives. */
async function submitted(env: NodeJS.ProcessEnv, ...argv: string[]): Promise<Finished & { spec: RunSpec | undefined }> {
  let spec: RunSpec | undefined;
  const submitRun = async (request: { spec: RunSpec | undefined }) => {
    spec = request.spec;
    return { run: runOf() };
  };
  await using pool = await startFakePool({ runs: { submitRun } });
  const finished = await run(["run", "submit", "--address", pool.address, ...argv], env);
  return { ...finished, spec };
}

test("a run is submitted with the name and tags of the flags", { timeout: 60_000 }, async () => {
  const flags = ["--run-name", "night, 2", "--tags", "a", "b,c", "--tags=d"];
  const { stderr, spec } = await submitted({}, "--dataset", "d.jsonl", ...flags);
  assert.deepEqual([spec?.runName, spec?.tags], ["night, 2", ["a", "b", "c", "d"]], stderr);
  assert.deepEqual((await submitted({}, "--dataset", "d.jsonl")).spec?.tags, []);
});

describe("--config", { timeout: 60_000 }, () => {
  test("gives flags their values, in the words of YAML; flags win", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "recipe.yaml");
      await writeFile(
        file,
        `model_id: some/model
dataset: [a.jsonl, b.jsonl]
learning-rate: 5e-4
packing: true
target_modules: [c_attn, c_proj]
rank_pattern: { c_proj: 4 }
epochs: 7
run_name: monday
tags: [team-a, nightly]
`,
      );
      const { code, stderr, spec } = await submitted({}, "--config", file, "--epochs", "2");
      assert.equal(code, 0, stderr);
      assert.deepEqual([spec?.runName, spec?.tags], ["monday", ["team-a", "nightly"]]);
      assert.equal(spec?.modelId, "some/model");
      assert.equal(spec.dataset.length, 2);
      const { learningRate, packing, epochs, lora } = spec.recipe ?? assert.fail();
      assert.deepEqual([learningRate, packing, epochs], [5e-4, true, 2]);
      assert.deepEqual([lora?.targetModules, lora?.rankPattern], [["c_attn", "c_proj"], { c_proj: 4 }]);
    });
  });

  test("is refused with every name that is wrong, and what was meant", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "recipe.yaml");
      const refused: [content: string, line: RegExp][] = [
        ["learning_rat: 1", /learning_rat is not a flag of run submit; did you mean learning_rate\?/],
        ["num_train_epochs: 1", /num_train_epochs is not a flag of run submit; did you mean epochs\?/],
        [
          "logging_dir: logs",
          /logging_dir is not a flag of run submit; the output folder always has TensorBoard's file/,
        ],
        ["save-strategy: epoch", /save-strategy is not a flag of run submit; save_every N saves every N steps/],
        ["zzz: 1", /zzz is not a flag of run submit; see gradpool run submit --help/],
        ["key_file: pool.key", /key_file is not a flag of run submit; see/],
        ["trainers: 2", /trainers is not a flag of run submit/],
        ["json: true", /json is not a flag of run submit/],
        ["epochs: fast\nbatch_size: []", /epochs must be a whole number, not "fast"; batch_size is an empty list/],
        ["epochs:", /epochs has no value/],
        ["model_id: [a, b]", /model_id must be one value, not several/],
        ["resume_if_exists: 3", /resume_if_exists must be true or false, not 3/],
        ["dataset: [[a]]", /dataset must be names with simple values/],
        ["- epochs", /it must be names with values/],
        ["epochs: 1\nepochs: 2", /is not valid YAML: line 2, column 1: Map keys must be unique; fix it/],
        ["a: &a [x]\nb: *a\nc: {", /is not valid YAML: line \d/],
        [`a: &a [x, x]\n${bomb}`, /cannot be used: Excessive alias count/],
      ];
      for (const [content, line] of refused) {
        await writeFile(file, content);
        const { code, stderr, spec } = await submitted({}, "--config", file);
        assert.match(stderr, line);
        assert.match(stderr, /^gradpool: [^\n]*\n$/);
        assert.deepEqual([code, spec], [1, undefined]);
      }
      assert.match((await submitted({}, "--config", join(folder, "no"))).stderr, /--config .*no does not exist/);
      assert.match((await submitted({}, "--config", folder)).stderr, /cannot be read \(EISDIR\)/);
    });
  });
});

/** Nine levels of nine aliases each. */
const bomb = Array.from({ length: 9 }, (_, i) => {
  const [to, from] = [String.fromCharCode(98 + i), String.fromCharCode(97 + i)];
  return `${to}: &${to} [${Array.from({ length: 9 }, () => `*${from}`).join(", ")}]`;
}).join("\n");

describe("profiles", { timeout: 60_000 }, () => {
  test("say address and defaults; the environment counts more, unless a flag names the profile", async () => {
    await withHome(PROFILES, async (env) => {
      assert.match((await run(["run", "list", "--profile", "team"], env)).stderr, /at 127\.0\.0\.1:2;/);
      const other = { ...env, GRADPOOL_PROFILE: "team" };
      assert.match((await run(["run", "list"], other)).stderr, /at 127\.0\.0\.1:2;/);
      const both = { ...other, GRADPOOL_ADDRESS: "127.0.0.1:3" };
      assert.match((await run(["run", "list"], both)).stderr, /at 127\.0\.0\.1:3;/);
      assert.match((await run(["run", "list", "--profile=team"], both)).stderr, /at 127\.0\.0\.1:2;/);
      assert.match((await run(["run", "list", "--address", "127.0.0.1:4"], other)).stderr, /at 127\.0\.0\.1:4;/);
    });
  });

  test("give train and run submit their defaults, after flags and files", async () => {
    await withHome(PROFILES, async (env, home) => {
      const file = join(home, "recipe.yaml");
      await writeFile(file, "batch_size: 5");
      const plain = await submitted(env, "--profile", "team");
      assert.deepEqual([plain.spec?.recipe?.learningRate, plain.spec?.recipe?.batchSize], [1e-3, 6]);
      const { spec } = await submitted(env, "--profile", "team", "--config", file, "--learning_rate=2e-3");
      assert.deepEqual([spec?.recipe?.learningRate, spec?.recipe?.batchSize], [2e-3, 5]);
      assert.deepEqual(spec?.recipe?.lora?.rankPattern, { c_proj: 4 });
    });
  });

  test("may ask for documents, which flags overrule", async () => {
    await withHome(PROFILES, async (env) => {
      assert.match((await run(["config", "show"], env)).stdout, /^---\nconfig_file: /);
      assert.match((await run(["config", "show", "--output", "table"], env)).stdout, /^profile +quiet$/m);
      const { stdout } = await run(["config", "show", "--json", "--profile=team"], env);
      const { address_from: from, defaults } = JSON.parse(stdout) as Record<string, unknown>;
      assert.equal(from, "profile team");
      assert.deepEqual(defaults, { learning_rate: 1e-3, batch_size: 6, rank_pattern: { c_proj: 4 } });
    });
  });

  test("are refused where they cannot be used, but help, doctor and config check go on", async () => {
    const refused: [config: string, line: RegExp][] = [
      ["profiles: { a: { adress: 1 } }", /config\.yaml: profiles\.a\.adress is unknown; known: address, /],
      ["profile: b\nprofiles: { a: {} }", /there is no profile b.*; it has a/],
      ["profiles: { a: { address: x } }\nprofile: a", /profiles\.a\.address must be HOST:PORT/],
      ["profiles: 3", /config\.yaml: profiles /],
      ["a: [", /config\.yaml is not valid YAML: line 1/],
    ];
    for (const [config, line] of refused) {
      await withHome(config, async (env) => {
        const list = await run(["run", "list"], env);
        assert.match(list.stderr, line);
        assert.equal(list.code, 1);
        assert.equal((await run(["run", "list", "--help"], env)).code, 0);
        const check = await run(["config", "check"], env);
        assert.deepEqual([check.code, check.stdout.match(/PROBLEM/g)?.length], [1, 1]);
        assert.match(check.stdout, line);
      });
    }
    const env = { HF_ENDPOINT: "huggingface" };
    assert.match(
      (await run(["run", "list"], env)).stderr,
      /^gradpool: HF_ENDPOINT is not an http\(s\) address; set one/,
    );
    assert.equal((await run(["run", "list", "--help"], env)).code, 0);
    assert.match((await run(["run", "list", "--profile", "x"])).stderr, /no profile x: .*config\.yaml does not exist/);
  });
});

describe("gradpool config check", { timeout: 60_000 }, () => {
  test("finds nothing wrong, or says all that is", async () => {
    await withHome(PROFILES, async (env, home) => {
      const [good, bad, unfit] = ["good", "bad", "unfit"].map((name) => join(home, `${name}.yaml`)) as [
        string,
        string,
        string,
      ];
      await writeFile(good, "epochs: 2\ntrainers: 2\nlr_scheduler: cosine");
      await writeFile(bad, "epochs: x\nlearning_rat: 1");
      await writeFile(unfit, "epochs: 0");
      const fine = await run(["config", "check", good, "--output", "table"], env);
      assert.equal(fine.code, 0, fine.stdout);
      assert.match(fine.stdout, /good\.yaml +3 values for gradpool train$/m);
      assert.match(fine.stdout, /^config\.yaml +\S+config\.yaml: 2 profiles \(quiet, team\)$/m);
      const wrong = { ...env, GRADPOOL_ADRESS: "x", GRADPOOL_ADDRESS: "nowhere", HF_ENDPOINT: "huggingface" };
      const { code, stdout } = await run(["config", "check", bad, unfit, "--json"], wrong);
      assert.equal(code, 1);
      const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: { state: string; text: string }[] };
      assert.equal(ok, false);
      const problems = checks.filter(({ state }) => state === "problem").map(({ text }) => text);
      for (const line of [
        /^GRADPOOL_ADRESS is not a gradpool variable; did you mean GRADPOOL_ADDRESS\?$/,
        /^GRADPOOL_ADDRESS must be HOST:PORT/,
        /^HF_ENDPOINT is not an http\(s\) address; set one/,
        /^epochs must be a whole number/,
        /^learning_rat is not a flag of train; did you mean learning_rate\?$/,
        /^epochs is 0, but must be/,
      ]) {
        assert.ok(
          problems.some((text) => line.test(text)),
          `${String(line)} is not among ${problems.join("\n")}`,
        );
      }
      assert.equal(problems.length, 6);
    });
  });
});
