/** gradpool up, and the commands that talk to a running pool. */
import assert from "node:assert/strict";
import { authorizationOf } from "@gradpool/access";
import { key } from "./fake-pool.js";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Cli, isAlive, jsonLines, REPOSITORY, run, TINY_CODER, until, withFolder, type Finished } from "./support.js";

const TIMEOUT = { timeout: 120_000 };
const DATA = join(REPOSITORY, "services/cli/src/completion");

interface Ready {
  address: string;
  http_address: string;
  services: { name: string; pid: number; address: string; http_address: string }[];
}

async function ready(cli: Cli): Promise<Ready> {
  await cli.written("stdout", /\n/);
  return jsonLines(cli.stdout)[0] as unknown as Ready;
}

describe("a pool", () => {
  let pool: Cli;
  let stack: Ready;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gradpool-cli-"));
    pool = new Cli(["up", "--port", "0", "--trainers", "2", "--metrics", "--json"], {
      GRADPOOL_HOME: join(folder, "home"),
    });
    stack = await ready(pool);
  }, TIMEOUT);

  after(async () => {
    pool.child.kill("SIGKILL");
    for (const { pid } of stack.services) await until(() => !isAlive(pid));
    await rm(folder, { recursive: true, force: true });
  }, TIMEOUT);

  const onPool = (...argv: string[]): Promise<Finished> => run([...argv, "--address", stack.address]);

  async function document<T = Record<string, unknown>>(...argv: string[]): Promise<T> {
    const { code, stdout, stderr } = await onPool(...argv, "--json");
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    return JSON.parse(stdout) as T;
  }

  const runFlags = (name: string, epochs: number) => [
    ...["--model_id", TINY_CODER, "--dataset", DATA, "--output_dir", join(folder, name)],
    ...["--epochs", String(epochs), "--max_length", "32", "--packing"],
  ];

  async function submit(name: string, epochs: number): Promise<string> {
    const { code, stdout, stderr } = await onPool("run", "submit", ...runFlags(name, epochs));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^\S+\n$/);
    return stdout.trim();
  }

  test("lists its trainers", TIMEOUT, async () => {
    const list = () => document<{ trainer_id: string; pid: number }[]>("trainer", "list");
    // A trainer that is ready has yet to introduce itself.
    await until(async () => (await list()).length === 2);
    const trainers = await list();
    const pidOf = new Map(stack.services.map(({ name, pid }) => [name, pid]));
    for (const { trainer_id, pid } of trainers) assert.equal(pid, pidOf.get(trainer_id));
    assert.match((await onPool("trainer", "list")).stdout, /^trainer +device +host +pid .*\ntrainer-\d +cpu /);
  });

  test("each service has an HTTP port, which pool status shows", TIMEOUT, async () => {
    assert.equal(stack.services.find(({ name }) => name === "coordinator")?.http_address, stack.http_address);
    const home = { GRADPOOL_HOME: join(folder, "home") };
    const { stdout } = await run(["pool", "status", "--address", stack.address], home);
    const headers = { authorization: authorizationOf(key) };
    for (const { name, http_address } of stack.services) {
      assert.match(
        await (await fetch(`http://${http_address}/metrics`, { headers })).text(),
        /^process_cpu_seconds_total /m,
      );
      const probe = () => fetch(`http://${http_address}/readyz`);
      await until(async () => (await probe()).status === 200);
      assert.match(stdout, new RegExp(`^\\S+ +${name} .* ${http_address} `, "m"));
    }
  });

  test("takes a run, shows it, lets it be watched twice, and finishes it", TIMEOUT, async () => {
    const runId = await submit("first", 1);
    const [once, again] = await Promise.all([1, 2].map(() => onPool("run", "watch", runId, "--json")));
    const steps = (watched: Finished | undefined) =>
      jsonLines(watched?.stdout ?? "").filter(({ event }) => event === "step");
    assert.equal(once?.code, 0, once?.stderr);
    assert.deepEqual(steps(once), steps(again));
    const late = await onPool("run", "watch", runId, "--json");
    assert.deepEqual(steps(late), steps(once));
    const shown = await document("run", "get", runId);
    assert.equal(shown["state"], "completed");
    assert.equal(shown["step"], steps(once).length);
    assert.equal((shown["recipe"] as Record<string, unknown>)["max_length"], 32);
    assert.match((await onPool("run", "get", runId)).stdout, /^state +completed$/m);
    const runs = await document<{ run_id: string }[]>("run", "list");
    assert.ok(runs.some(({ run_id }) => run_id === runId));
    assert.match(
      (await onPool("run", "list")).stdout,
      new RegExp(`^${runId} +completed +\\d+/\\d+ +\\d\\.\\d{4} `, "m"),
    );
    assert.ok((await readdir(join(folder, "first"))).includes("adapter_model.safetensors"));
  });

  test("cancels a run; its watchers see that", TIMEOUT, async () => {
    const runId = await submit("second", 1000);
    const watcher = new Cli(["run", "watch", runId, "--address", stack.address, "--json"]);
    await watcher.written("stdout", /"event":"step"/);
    const cancelled = await document("run", "cancel", runId);
    assert.equal(cancelled["state"], "cancelled");
    const { code, stderr } = await watcher.ended;
    assert.equal(code, 1);
    assert.match(stderr, /^gradpool: run \S+ was cancelled; /);
  });

  test("ends a watcher with Ctrl-C, and continues the run", TIMEOUT, async () => {
    const runId = await submit("third", 1000);
    const watcher = new Cli(["run", "watch", runId, "--address", stack.address, "--json"]);
    await watcher.written("stdout", /"event":"step"/);
    watcher.child.kill("SIGINT");
    assert.equal((await watcher.ended).code, 130);
    assert.equal((await document("run", "get", runId))["state"], "running");
    await document("run", "cancel", runId);
  });

  test("submit --watch follows the run", TIMEOUT, async () => {
    const { code, stdout, stderr } = await onPool("run", "submit", ...runFlags("fourth", 1), "--watch");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^run-\S+\n[^]*^done in 0:\d\d:\d\d: /m);
  });

  test("train --address trains on it, and Ctrl-C cancels that run alone", TIMEOUT, async () => {
    const other = await submit("fifth", 1000);
    const cli = new Cli(["train", ...runFlags("sixth", 1000), "--address", stack.address, "--json"]);
    await cli.written("stdout", /"event":"step"/);
    const { run_id } = jsonLines(cli.stdout.slice(0, cli.stdout.lastIndexOf("\n")))[0] ?? {};
    cli.child.kill("SIGINT");
    assert.equal((await cli.ended).code, 130);
    assert.equal((await document("run", "get", run_id as string))["state"], "cancelled");
    assert.equal((await document("run", "get", other))["state"], "running");
    await document("run", "cancel", other);
  });

  test("refuses a second run into the same folder, with one line", TIMEOUT, async () => {
    const runId = await submit("seventh", 1000);
    const { code, stderr } = await onPool("run", "submit", ...runFlags("seventh", 1));
    assert.equal(code, 1);
    assert.match(stderr, /^gradpool: output_dir \S+ is in use by \S+; [^\n]*\n$/);
    await document("run", "cancel", runId);
  });

  test("tells of a run that fails", TIMEOUT, async () => {
    const { stdout } = await onPool("run", "submit", ...runFlags("eighth", 1), "--model_id", "/no/such/model");
    const { code, stderr } = await onPool("run", "watch", stdout.trim());
    assert.equal(code, 1);
    assert.match(stderr, /gradpool: model_id: \/no\/such\/model does not exist; [^\n]*\n$/);
    assert.match((await onPool("run", "get", stdout.trim())).stdout, /^error +model_id: /m);
  });

  test("knows no run of another name", TIMEOUT, async () => {
    for (const command of ["get", "watch", "cancel"]) {
      const { code, stderr } = await onPool("run", command, "no-such-run");
      assert.equal(code, 1);
      assert.match(stderr, /^gradpool: there is no run no-such-run; [^\n]*\n$/);
    }
  });

  test("ends with Ctrl-C, and nothing is left of it", TIMEOUT, async () => {
    pool.child.kill("SIGINT");
    assert.equal((await pool.ended).code, 130);
    assert.deepEqual(
      stack.services.filter(({ pid }) => isAlive(pid)),
      [],
    );
  });
});

test("gradpool up says in one line that a port is taken", TIMEOUT, async () => {
  await withFolder(async (folder) => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    // The port of the coordinator, then that of its HTTP port and the tokenizer: 0 would choose for itself.
    for (const wanted of [port, port - 1, port - 2]) {
      const cli = new Cli(["up", "--port", String(wanted)], { GRADPOOL_HOME: join(folder, "home") });
      const { code, stdout, stderr } = await cli.ended;
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(
        stderr.replace("starting the services\n", ""),
        /^gradpool: \S+: cannot listen (for HTTP )?on \S+: the port is taken; .*\n$/,
      );
    }
    taken.close();
  });
});
