/** gradpool up over a long life: services die and come back, and so does the whole of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { access, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createStackFolders } from "../src/local-stack/stack-folders.js";
import { readStacks } from "../src/local-stack/stack-processes.js";
import { Cli, isAlive, jsonLines, run, until, withFolder } from "./support.js";

const TIMEOUT = { timeout: 180_000 };

interface Process {
  name: string;
  address: string;
  pid: number;
}

interface Stack {
  cli: Cli;
  address: string;
  services: Process[];
  logs: string;
}

async function startUp(home: string, ...argv: string[]): Promise<Stack> {
  const cli = new Cli(["up", "--json", ...argv], { GRADPOOL_HOME: home });
  await cli.written("stdout", /\n/);
  return { cli, ...(jsonLines(cli.stdout)[0] as unknown as Omit<Stack, "cli">) };
}

async function stop({ cli }: Stack): Promise<void> {
  cli.child.kill("SIGINT");
  assert.equal((await cli.ended).code, 130);
}

/** What the pid files of the only stack say, and whether each process is alive, by name. */
async function processesOf(home: string): Promise<Map<string, Process & { isAlive: boolean }>> {
  const [stack] = await readStacks(home);
  const processes = stack?.processes.map(({ name, address, process: { pid }, isAlive }) => ({
    name,
    address,
    pid,
    isAlive,
  }));
  return new Map(processes?.map((found) => [found.name, found]));
}

/** A process's environment, as Linux tells it. */
async function environmentOf(pid: number): Promise<Record<string, string>> {
  const text = await readFile(`/proc/${pid}/environ`, "utf8");
  return Object.fromEntries(text.split("\0").map((entry) => entry.split(/=(.*)/s).slice(0, 2) as [string, string]));
}

describe("gradpool up", () => {
  test(
    "starts each service again where it was when it is killed, and stops all of it in the end",
    TIMEOUT,
    async () => {
      await withFolder(async (folder) => {
        const stack = await startUp(folder, "--port", "0");
        assert.equal(stack.services.length, 5);
        for (const { name, address, pid } of stack.services) {
          process.kill(pid, "SIGKILL");
          await until(async () => ![undefined, pid].includes((await processesOf(folder)).get(name)?.pid));
          assert.equal((await processesOf(folder)).get(name)?.address, address);
          assert.match(stack.cli.stderr, new RegExp(`^${name} ended \\(signal SIGKILL\\); .*; restarting in `, "m"));
        }
        const listTrainers = async () => {
          const { code, stdout } = await run(["trainer", "list", "--address", stack.address, "--json"]);
          return code === 0 ? (JSON.parse(stdout) as { trainer_id: string; pid: number }[]) : [];
        };
        // A new life has a new id.
        await until(async () => (await listTrainers()).some(({ trainer_id: id }) => id === "trainer-1.1"));
        const processes = await processesOf(folder);
        assert.equal((await listTrainers())[0]?.pid, processes.get("trainer-1")?.pid);
        assert.ok([...processes.values()].every((found) => found.isAlive));
        await stop(stack);
        assert.deepEqual(
          [...processes.values()].filter(({ pid }) => isAlive(pid)),
          [],
        );
        assert.deepEqual(await readdir(join(folder, "run")), []);
      });
    },
  );

  test("ends with one line when a service does not come back, and leaves nothing running", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const stack = await startUp(folder, "--port", "0");
      const { address } = stack.services.find(({ name }) => name === "tokenizer") as Process;
      await using _thief = await takePortOf(folder, "tokenizer", Number(address.split(":")[1]));
      const { code, stdout, stderr } = await stack.cli.ended;
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^gradpool: tokenizer: cannot listen on \S+: the port is taken; .*; 7 restarts in a row did not help$/m,
      );
      assert.match(stderr, /^end of tokenizer's log:\n {2}/m);
      assert.equal((jsonLines(stdout).at(-1)?.["error"] as { code: string }).code, "unavailable");
      for (const { pid } of stack.services) assert.ok(!isAlive(pid));
      assert.deepEqual(await readdir(join(folder, "run")), []);
    });
  });

  test("leaves no process when it is killed; pool status tells, and the next start clears up", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const first = await startUp(folder, "--port", "0");
      const statusOf = (address: string, ...flags: string[]) =>
        new Cli(["pool", "status", "--address", address, ...flags], { GRADPOOL_HOME: folder, TMPDIR: folder }).ended;
      const rows = (stdout: string, state: string) => stdout.split("\n").filter((line) => line.endsWith(`  ${state}`));
      // Nothing answers there, and yet the processes are shown.
      assert.equal(rows((await statusOf("127.0.0.1:1")).stdout, "alive").length, 6);
      first.cli.child.kill("SIGKILL");
      for (const { pid } of first.services) await until(() => !isAlive(pid));
      const { code, stdout, stderr } = await statusOf(first.address);
      assert.equal(code, 1);
      assert.match(stderr, /^gradpool: no pool answers at [^\n]*\n$/);
      assert.equal(rows(stdout, "dead").length, 6, stdout);
      assert.match(stdout, new RegExp(` +coordinator +\\d+ +${first.address} +\\S+ +[-\\d]+ [:\\d]+ +dead$`, "m"));
      const { error, processes } = JSON.parse((await statusOf(first.address, "--json")).stdout) as {
        error: { code: string };
        processes: { alive: boolean }[];
      };
      assert.equal(error.code, "unavailable");
      assert.deepEqual(
        processes.map(({ alive }) => alive),
        Array(6).fill(false),
      );
      const second = await startUp(folder, "--port", "0");
      const [only, ...more] = await readStacks(folder);
      assert.deepEqual(more, []);
      assert.equal(only?.processes.find(({ name }) => name === "coordinator")?.address, second.address);
      await stop(second);
    });
  });

  test("keeps its runs beside those of other ports, and those of any port with the logs", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const environment = ({ services }: Stack) =>
        environmentOf((services.find(({ name }) => name === "coordinator") as Process).pid);
      const passing = await startUp(folder, "--port", "0", "--recovery-seconds", "5");
      const { GRADPOOL_STORE: passingStore, GRADPOOL_RECOVERY_SECONDS: seconds } = await environment(passing);
      assert.equal(passingStore, join(passing.logs, "runs.sqlite"));
      assert.equal(seconds, "5");
      await stop(passing);
      const port = String(await freePorts());
      const killed = await startUp(folder, "--port", port);
      const { GRADPOOL_STORE: store, GRADPOOL_RECOVERY_SECONDS: byDefault } = await environment(killed);
      assert.equal(store, join(folder, "pools", port, "runs.sqlite"));
      await access(join(folder, "pools", port));
      assert.equal(byDefault, "30");
      // At once: the services of the killed one have yet to leave their ports.
      killed.cli.child.kill("SIGKILL");
      const next = await startUp(folder, "--port", port);
      assert.equal((await environment(next))["GRADPOOL_STORE"], store);
      await stop(next);
    });
  });
});

describe("the folders of stacks", () => {
  const DAY = 24 * 3600 * 1000;

  test("those of one second are distinguished", async () => {
    await withFolder(async (home) => {
      const now = new Date();
      const folders = [await createStackFolders(home, now), await createStackFolders(home, now)];
      assert.equal(new Set(folders.map(({ logs }) => logs)).size, 2);
      assert.equal(new Set(folders.map(({ run }) => run)).size, 2);
      assert.deepEqual(
        (await readStacks(home)).map((stack) => stack.isAlive),
        [true, true],
      );
    });
  });

  test("old logs go, but never those of a stack that runs", async () => {
    await withFolder(async (home) => {
      const running = await createStackFolders(home, new Date(0));
      // A process that has ended: its number is beyond what Linux gives out.
      const dead = 2 ** 22 + 1;
      for (let day = 1; day <= 30; day++) {
        const name = `${new Date(day * DAY).toISOString().replace(/[-:]/g, "").slice(0, 15)}Z-${dead}`;
        await mkdir(join(home, "logs", name));
        await mkdir(join(home, "run", name));
      }
      const latest = await createStackFolders(home, new Date(31 * DAY));
      const logs = await readdir(join(home, "logs"));
      assert.equal(logs.length, 20 + 2);
      for (const { logs: path } of [running, latest]) await access(path);
      assert.equal((await readdir(join(home, "run"))).length, 2);
    });
  });

  test("files of no stack are left alone", async () => {
    await withFolder(async (home) => {
      await mkdir(join(home, "run", "mine"), { recursive: true });
      await writeFile(join(home, "run", "notes.txt"), "");
      await createStackFolders(home, new Date());
      assert.equal((await readdir(join(home, "run"))).length, 3);
      assert.equal((await readStacks(home)).length, 1);
    });
  });
});

/** Kills a service and takes its port before it is back. */
async function takePortOf(home: string, name: string, port: number): Promise<Server & AsyncDisposable> {
  for (;;) {
    const pid = (await processesOf(home)).get(name)?.pid;
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    while (pid !== undefined && isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
    const server = await listen(port);
    if (server) return server;
    // It was quicker: once more.
    await until(async () => ![undefined, pid].includes((await processesOf(home)).get(name)?.pid));
  }
}

async function listen(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
    return server;
  } catch {
    return undefined;
  }
}

/** The first of four free ports in a row, below those that the system gives out. */
async function freePorts(): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const servers = await Promise.all([0, 1, 2, 3].map((i) => listen(first + i)));
    for (const server of servers) await server?.[Symbol.asyncDispose]();
    if (servers.every((server) => server !== undefined)) return first;
  }
}
