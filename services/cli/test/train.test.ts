/** gradpool train with its own stack of real services. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Cli, isAlive, jsonLines, REPOSITORY, servicePids, TINY_CODER, until, withFolder } from "./support.js";

const TIMEOUT = { timeout: 120_000 };

const RESULT_FILES = ["README.md", "adapter_config.json", "adapter_model.safetensors", "loss.png", "loss.svg"];

/** A few rows of this package's own source; `epochs` decides how long it takes. */
function flags(folder: string, epochs: number): string[] {
  const recipe = ["--epochs", String(epochs), "--max_length", "32", "--gradient_accumulation", "2", "--packing"];
  const data = join(REPOSITORY, "services/cli/src/completion");
  return ["train", "--model_id", TINY_CODER, "--dataset", data, "--output_dir", join(folder, "out"), ...recipe];
}

/** Starts a long run in a folder and waits for its first steps. */
async function longRun(folder: string, ...more: string[]): Promise<{ cli: Cli; pids: Map<string, number> }> {
  const home = join(folder, "home");
  const cli = new Cli([...flags(folder, 1000), "--json", ...more], { GRADPOOL_HOME: home });
  await cli.written("stdout", /"event":"step","step":2,/);
  return { cli, pids: await servicePids(home) };
}

async function assertAllEnd(pids: Iterable<number>): Promise<void> {
  for (const pid of pids) await until(() => !isAlive(pid));
}

describe("gradpool train", () => {
  test("trains, says what it does, and leaves the result", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const home = join(folder, "home");
      const cli = new Cli([...flags(folder, 1), "--save_every", "8", "--keep-last-n-checkpoints", "1"], {
        GRADPOOL_HOME: home,
      });
      const { code, stdout, stderr } = await cli.ended;
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^model +\S+\/models\/tiny-coder \(gpt2, 4,273,664 parameters\)$/m);
      assert.match(stdout, /^data set +\S+\/services\/cli\/src\/completion$/m);
      assert.match(stdout, /^output folder +\S+\/out$/m);
      assert.match(stdout, /^dry run +no$/m);
      assert.match(stdout, /^dashboard: http:\/\/127\.0\.0\.1:\d+\/ while it runs$/m);
      assert.match(stdout, /^trainable params: 90,112 \|\| all params: 4,364,032 \|\| trainable%: 2.0649$/m);
      assert.match(stdout, /^checkpoint saved: \S+\/out\/checkpoint-epoch0-step8$/m);
      assert.match(stdout, /^checkpoint removed: \S+\/out\/checkpoint-epoch0-step8$/m);
      assert.match(
        stdout,
        /^done in 0:\d\d:\d\d: \d+ steps, [\d,]+ tokens, final loss \d\.\d{4} \(\d\.\d{4} at the first step\)$/m,
      );
      assert.match(stdout, /gradpool sample --model_id \S+ --adapter \S+\/out --prompt/);
      assert.match(
        stderr,
        /^step \d+\/\d+ \(100 %\) {2}loss \d\.\d{4} {2}lr \S+ {2}[\d,]+ tokens\/s {2}0:00:00 left$/m,
      );
      const files = await readdir(join(folder, "out"));
      for (const file of [...RESULT_FILES, "metrics.json"]) assert.ok(files.includes(file), file);
      assert.equal(files.filter((file) => file.startsWith("checkpoint-")).length, 1);
      await assertAllEnd((await servicePids(home)).values());
    });
  });

  test("--json gives one line for each event and nothing else", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const argv = [...flags(folder, 1), "--json", "--dry-run", "--trainers=2", "--threads", "1", "--lora-r=4"];
      const { code, stdout, stderr } = await new Cli(argv, { GRADPOOL_HOME: join(folder, "home") }).ended;
      assert.equal(code, 0, stderr);
      assert.equal(stderr, "");
      const events = jsonLines(stdout);
      const last = events.at(-1);
      assert.equal(last?.["state"], "completed");
      assert.equal((last?.["recipe"] as Record<string, unknown>)["lora_r"], 4);
      const steps = events.filter(({ event }) => event === "step");
      assert.deepEqual(
        steps.map(({ step }) => step),
        steps.map((_, i) => i + 1),
      );
      assert.equal(steps.length, last?.["total_steps"]);
      const metrics = JSON.parse(await readFile(join(folder, "out/metrics.json"), "utf8")) as { steps: unknown[] };
      assert.deepEqual(
        metrics.steps,
        steps.map(({ event: _event, ...step }) => step),
      );
    });
  });

  test("evaluates on held-out data: as gradpool eval does, on the adapter that is the result", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const heldOut = join(REPOSITORY, "services/cli/src/terminal");
      const env = { GRADPOOL_HOME: join(folder, "home") };
      const evaluation = ["--eval_dataset", heldOut, "--eval_every", "20", "--load_best_model_at_end"];
      const argv = [...flags(folder, 5), ...evaluation, "--max_steps", "50", "--learning_rate", "1e-3"];
      const { code, stdout, stderr } = await new Cli(argv, env).ended;
      assert.equal(code, 0, stderr);
      const said = [...stdout.matchAll(/^step (\d+): evaluation loss \d\.\d{4}, perplexity [\d.]+$/gm)];
      assert.deepEqual(
        said.map(([, step]) => step),
        ["20", "40", "50"],
      );
      assert.match(stdout, /^done in .*; best evaluation loss \d\.\d{4}, perplexity [\d.]+ at step \d+$/m);
      const metrics = JSON.parse(await readFile(join(folder, "out/metrics.json"), "utf8")) as {
        evaluations: { step: number; loss: number; tokens: number; perplexity: number }[];
        result_step: number;
      };
      assert.deepEqual(
        metrics.evaluations.map(({ step }) => step),
        [20, 40, 50],
      );
      const best = metrics.evaluations.find(({ step }) => step === metrics.result_step);
      assert.equal(best?.loss, Math.min(...metrics.evaluations.map(({ loss }) => loss)));
      const dataset = ["--dataset", heldOut, "--max_length", "32", "--packing", "--batch_size", "2"];
      const model = ["--model_id", TINY_CODER, "--adapter", join(folder, "out")];
      const again = await new Cli(["eval", ...model, ...dataset, "--json"], env).ended;
      assert.equal(again.code, 0, again.stderr);
      const { loss, perplexity, tokens } = JSON.parse(again.stdout) as Record<string, number>;
      assert.deepEqual([loss, perplexity, tokens], [best.loss, best.perplexity, best.tokens]);
    });
  });

  test("I3: continues when a trainer is killed, and restarts it", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const { cli, pids } = await longRun(folder, "--trainers", "2");
      const killed = pids.get("trainer-1") as number;
      process.kill(killed, "SIGKILL");
      const home = join(folder, "home");
      await until(async () => ![undefined, killed].includes((await servicePids(home)).get("trainer-1")));
      const steps = jsonLines(cli.stdout.slice(0, cli.stdout.lastIndexOf("\n"))).length;
      await until(() => cli.stdout.split("\n").length > steps + 5);
      assert.match(cli.stderr, /^trainer-1 ended \(signal SIGKILL\); its log is \S+; restarting in 0\.25 s$/m);
      cli.child.kill("SIGINT");
      assert.equal((await cli.ended).code, 130);
      await assertAllEnd([...pids.values(), ...(await servicePids(home)).values()]);
    });
  });

  test("Ctrl-C cancels the run and ends the services", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const { cli, pids } = await longRun(folder);
      cli.child.kill("SIGINT");
      const { code, stdout, stderr } = await cli.ended;
      assert.equal(code, 130);
      assert.match(stderr, /^cancelling the run; press Ctrl-C again/);
      assert.match(stderr, /^to continue where it stopped, .* --output_dir \S+\/out --resume_from latest$/m);
      assert.equal(jsonLines(stdout).findLast(({ event }) => event === "run")?.["state"], "cancelled");
      assert.equal([...pids.values()].filter(isAlive).length, 0);
      const files = await readdir(join(folder, "out")).catch(() => []);
      assert.deepEqual(
        files.filter((file) => RESULT_FILES.includes(file)),
        [],
      );
    });
  });

  test("a second Ctrl-C ends everything at once", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const { cli, pids } = await longRun(folder);
      // Nothing answers the cancellation.
      process.kill(pids.get("coordinator") as number, "SIGSTOP");
      cli.child.kill("SIGINT");
      await cli.written("stderr", /cancelling the run/);
      cli.child.kill("SIGINT");
      assert.equal((await cli.ended).code, 130);
      await assertAllEnd(pids.values());
    });
  });

  test("Ctrl-C ends it while the services start", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const home = join(folder, "home");
      const cli = new Cli(flags(folder, 1000), { GRADPOOL_HOME: home });
      await until(async () => (await servicePids(home).catch(() => new Map())).size > 0);
      const children = await childrenOf(cli.child.pid as number);
      cli.child.kill("SIGINT");
      const { code, stderr } = await cli.ended;
      assert.equal(code, 130);
      assert.match(stderr, /gradpool: interrupted\n$/);
      assert.deepEqual(children.filter(isAlive), []);
    });
  });

  test("leaves no process when it is killed itself", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const { cli, pids } = await longRun(folder, "--trainers", "2");
      assert.equal(pids.size, 6);
      cli.child.kill("SIGKILL");
      await assertAllEnd(pids.values());
    });
  });

  test("leaves no process when it is killed while the services start", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const home = join(folder, "home");
      const cli = new Cli(flags(folder, 1000), { GRADPOOL_HOME: home });
      await until(async () => (await servicePids(home).catch(() => new Map())).size > 0);
      const children = await childrenOf(cli.child.pid as number);
      cli.child.kill("SIGKILL");
      assert.ok(children.length > 0);
      await assertAllEnd(children);
    });
  });

  test("logs go elsewhere, and it says so, when their folder cannot be written", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const cli = new Cli(flags(folder, 1), { GRADPOOL_HOME: "/dev/null/gradpool", TMPDIR: folder });
      const { code, stderr } = await cli.ended;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^\/dev\/null\/gradpool cannot be written \(ENOTDIR\); .*logs go to \S+$/m);
    });
  });
});

/** Process ids of a process's children, as Linux tells them. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}
