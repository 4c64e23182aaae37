/** Services that end by themselves are started again where they were. */
import assert from "node:assert/strict";
import { readdir, writeFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { answers } from "@gradpool/rpc";
import { readPidFile } from "@gradpool/service-kit";
import { entryPoint } from "../src/local-stack/entry-points.js";
import { SupervisedService, type RestartPolicy } from "../src/local-stack/supervised-service.js";
import { isAlive, until, withFolder } from "./support.js";
import { key } from "./fake-pool.js";

const TIMEOUT = { timeout: 60_000 };
const MAIN = fileURLToPath(new URL("./mortal-service.js", import.meta.url));
const POLICY: RestartPolicy = {
  ...{ firstPauseMs: 1, longestPauseMs: 4, healthyMs: 60_000, mostRestarts: 3 },
  // The service of these tests knows no health checks.
  ...{ checkMs: 60_000, stuckMs: 60_000 },
};

interface Supervised {
  service: SupervisedService;
  notes: string[];
  pidFile: string;
  /** While this file exists, it crashes as it starts. */
  crashes: string;
  /** While this file exists, it refuses to start. */
  refuses: string;
}

async function supervise(folder: string, policy: RestartPolicy = POLICY): Promise<Supervised> {
  const notes: string[] = [];
  const note = (text: string) => void notes.push(text);
  const [pidFile, crashes, refuses] = ["a.pid", "crashes", "refuses"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const processOptions = (life: number, listen: string) => ({
    name: "mortal",
    main: MAIN,
    env: {
      GRADPOOL_KEY: key.reveal(),
      GRADPOOL_LISTEN: listen,
      MORTAL_NAME: `life ${life}`,
      MORTAL_CRASHES: crashes,
      MORTAL_REFUSES: refuses,
    },
    logPath: join(folder, "mortal.log"),
    note,
  });
  const service = await SupervisedService.start({ listen: "127.0.0.1:0", processOptions, pidFile, policy, note });
  return { service, notes, pidFile, crashes, refuses };
}

/** What the service says to who connects. */
async function greeting(address: string): Promise<string> {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  const socket = connect(Number(port), host).setEncoding("utf8");
  let text = "";
  for await (const piece of socket as AsyncIterable<string>) text += piece;
  return text;
}

/** Kills it and waits for its next life. */
async function killAndWait({ service, pidFile }: Supervised): Promise<void> {
  const { pid } = service;
  process.kill(pid, "SIGKILL");
  await until(async () => ![undefined, pid].includes((await readPidFile(pidFile))?.process.pid));
}

describe("a supervised service", () => {
  test("comes back at the same address, as a new process with a new pid file", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const supervised = await supervise(folder);
      await using service = supervised.service;
      const { address, pid } = service;
      assert.equal(await greeting(address), "life 0");
      for (const life of [1, 2]) {
        await killAndWait(supervised);
        assert.equal(service.address, address);
        assert.equal(await greeting(address), `life ${life}`);
        const file = await readPidFile(supervised.pidFile);
        assert.equal(file?.address, address);
        assert.equal(file?.process.pid, service.pid);
        assert.notEqual(service.pid, pid);
      }
      assert.match(
        supervised.notes[0] ?? "",
        /^mortal ended \(signal SIGKILL\); its log is \S+; restarting in 0\.001 s$/,
      );
      assert.equal(supervised.notes.length, 2);
    });
  });

  test("is given up after too many restarts in a row, with the end of its log", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const { service, notes, pidFile, crashes } = await supervise(folder);
      await using _service = service;
      await writeFile(crashes, "");
      process.kill(service.pid, "SIGKILL");
      const error = await service.failed;
      assert.equal(error.code, "unavailable");
      assert.match(error.message, /^mortal ended \(exit code 7\); its log is \S+; 3 restarts in a row did not help$/);
      const tries = notes.filter((text) => text.includes("restarting in"));
      assert.deepEqual(
        tries.map((text) => / in (\S+) s$/.exec(text)?.[1]),
        ["0.001", "0.002", "0.004"],
      );
      assert.match(notes.at(-1) ?? "", /^end of mortal's log:\n {2}ready$/);
      assert.equal(await readPidFile(pidFile), undefined);
    });
  });

  test("is given up when it ends again and again though it was ready", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const supervised = await supervise(folder);
      await using service = supervised.service;
      for (let life = 0; life < POLICY.mostRestarts; life++) await killAndWait(supervised);
      process.kill(service.pid, "SIGKILL");
      assert.match((await service.failed).message, /^mortal ended \(signal SIGKILL\); .*; 3 restarts in a row did not/);
    });
  });

  test("starts with a new count after a good life", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const supervised = await supervise(folder, { ...POLICY, healthyMs: 0 });
      await using _service = supervised.service;
      for (let life = 0; life < 3 * POLICY.mostRestarts; life++) await killAndWait(supervised);
      assert.ok(
        supervised.notes.every((text) => text.endsWith("restarting in 0.001 s")),
        supervised.notes.join("\n"),
      );
    });
  });

  test("is tried again when it says why it cannot start, and comes back when it can", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const supervised = await supervise(folder, { ...POLICY, longestPauseMs: 1, mostRestarts: Infinity });
      await using service = supervised.service;
      const { address } = service;
      await writeFile(supervised.refuses, "");
      process.kill(service.pid, "SIGKILL");
      const refusal = "mortal: no luck; try another day; restarting in 0.001 s";
      await until(() => supervised.notes.filter((text) => text === refusal).length >= 2);
      await rm(supervised.refuses);
      await until(async () => (await readPidFile(supervised.pidFile)) !== undefined);
      assert.match(await greeting(address), /^life \d$/);
    });
  });

  test("that is stopped while it starts again leaves no process and no pid file", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      for (const end of ["stop", "kill"]) {
        const { service, notes, pidFile } = await supervise(folder, { ...POLICY, firstPauseMs: 0 });
        const { address, pid } = service;
        process.kill(pid, "SIGKILL");
        await until(() => notes.length > 0);
        if (end === "kill") service.kill();
        await service[Symbol.asyncDispose]();
        assert.ok(!isAlive(service.pid));
        assert.equal(await readPidFile(pidFile), undefined);
        await assert.rejects(greeting(address), /ECONNREFUSED/);
      }
    });
  });

  test("that cannot start at first is an error, and nothing is left", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "refuses"), "");
      await assert.rejects(supervise(folder), { code: "unavailable", message: "mortal: no luck; try another day" });
      await writeFile(join(folder, "crashes"), "");
      await assert.rejects(supervise(folder), /^GradpoolError: mortal ended \(exit code 7\); its log is \S+$/);
      assert.deepEqual((await readdir(folder)).sort(), ["crashes", "mortal.log", "refuses"]);
    });
  });

  test("is killed and started again when it does not answer, and only then", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      const notes: string[] = [];
      const note = (text: string) => void notes.push(text);
      const pidFile = join(folder, "a.pid");
      await using service = await SupervisedService.start({
        ...{ listen: "127.0.0.1:0", pidFile, note, policy: { ...POLICY, checkMs: 50, stuckMs: 2_000 } },
        processOptions: (_life, listen) => ({
          ...{ name: "tokenizer", main: entryPoint("tokenizer"), logPath: join(folder, "log"), note },
          env: { GRADPOOL_KEY: key.reveal(), GRADPOOL_LISTEN: listen, GRADPOOL_HOME: folder },
        }),
      });
      const { pid, address } = service;
      // Alive for longer than it may be silent.
      const quietUntil = performance.now() + 4_000;
      await until(() => Promise.resolve(performance.now() > quietUntil));
      assert.deepEqual(notes, []);
      process.kill(pid, "SIGSTOP");
      await until(async () => ![undefined, pid].includes((await readPidFile(pidFile))?.process.pid));
      assert.match(notes[0] ?? "", /^tokenizer ended \(no answer for 2 s\); its log is \S+; restarting in 0\.001 s$/);
      assert.equal(isAlive(pid), false);
      assert.ok(await answers(address));
    });
  });
});
