/**
 * gradpool pool backup: a copy of the run store, made while a run trains, from which the run continues to the same bits (I2, I4);
 * gradpool pool verify: whether it is what was written.
 */
import assert from "node:assert/strict";
import { copyFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { describe, test } from "node:test";
import { ListRunsRequest, RunState } from "@gradpool/rpc";
import { fingerprint, gradpool, Stack, STACK_KEY, tinyRun, Workspace } from "@gradpool/integration-tests";

const TIMEOUT = { timeout: 300_000 };
const BACKUP_STEP = 4;
const LOSS_STEP = 7;

describe("gradpool pool backup", () => {
  test("a run continues from a copy to the same bits", TIMEOUT, async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(140);
    const [runStore, copy] = [workspace.path("runs.sqlite"), workspace.path("copy.sqlite")];
    // Left by a coordinator that was killed while it made a copy.
    await writeFile(`${runStore}.backup-1`, "half a copy");
    await using stack = await Stack.start({ trainers: 1, runStore });
    const spec = (name: string) => tinyRun(dataset, workspace.path(name), { packing: true, saveEvery: 3 });
    const whole = await stack.train(spec("whole"));
    assert.ok(whole.steps.length > LOSS_STEP + 1, `${whole.steps.length} steps`);

    const { runId } = await stack.submit(spec("restored"));
    const atSteps = new Map([
      [BACKUP_STEP, () => backUp(stack, copy, workspace.path("home"))],
      [LOSS_STEP, () => stack.restartCoordinator(() => restore(copy, runStore))],
    ]);
    const finished = await stack.watch(runId, async ({ step }) => {
      const act = atSteps.get(step);
      atSteps.delete(step);
      await act?.();
    });
    assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
    assert.equal(atSteps.size, 0);
    await assertDocumented(runStore);
    assert.deepEqual(await fingerprint(workspace.path("restored")), await fingerprint(workspace.path("whole")));
    assert.deepEqual(
      finished.steps.map(({ step, loss }) => [step, loss]),
      whole.steps.map(({ step, loss }) => [step, loss]),
    );
    const { runs } = await stack.runs.listRuns(ListRunsRequest.create());
    assert.equal(runs.length, 2);
    const files = await readdir(workspace.path());
    assert.deepEqual(
      files.filter((name) => /backup|partial/.test(name)),
      [],
    );
  });

  test("says why there is no copy, and keeps existing files", TIMEOUT, async () => {
    await using workspace = await Workspace.create();
    await using stack = await Stack.start({ trainers: 0 });
    const copy = workspace.path("copy.sqlite");
    await writeFile(copy, "Monday's");
    const fails = async (file: string, message: RegExp, address = stack.address) => {
      const { code, stderr } = await gradpool(
        ["pool", "backup", file, "--address", address],
        workspace.path("home"),
        ENV,
      );
      assert.equal(code, 1);
      assert.match(stderr, message);
    };
    await fails(copy, /keeps its runs in memory, not in a file; start .*GRADPOOL_STORE/);
    await fails(workspace.path("none", "copy.sqlite"), /cannot be written \(ENOENT\); name another file/);
    assert.deepEqual(await readdir(workspace.path()), ["copy.sqlite"]);
  });
});

const ENV = { GRADPOOL_KEY: STACK_KEY.reveal() };

async function backUp(stack: Stack, file: string, home: string): Promise<void> {
  const { code, stdout, stderr } = await gradpool(
    ["pool", "backup", file, "--address", stack.address, "--json"],
    home,
    ENV,
  );
  assert.equal(code, 0, stderr);
  assert.ok((JSON.parse(stdout) as { size_bytes: number }).size_bytes > 0);
  const whole = await gradpool(["pool", "verify", "--address", stack.address, "--json"], home, ENV);
  assert.equal(whole.code, 0, whole.stderr);
  const { rows, problems } = JSON.parse(whole.stdout) as { rows: number; problems: string[] };
  assert.ok(rows > 2 * BACKUP_STEP, `${rows} rows`);
  assert.deepEqual(problems, []);
  await verifyCopy(file, home);
}

/** The copy is as it was written, and another with one changed letter is not. */
async function verifyCopy(file: string, home: string): Promise<void> {
  const whole = await gradpool(["pool", "verify", file], home);
  assert.equal(whole.code, 0, whole.stderr);
  assert.match(whole.stdout, /copy\.sqlite: \d+ rows, all as they were written/);
  const bytes = await readFile(file);
  bytes.write("X", bytes.indexOf("restored"));
  const damaged = `${file}.damaged`;
  await writeFile(damaged, bytes);
  const { code, stderr } = await gradpool(["pool", "verify", damaged], home);
  assert.equal(code, 1);
  assert.match(stderr, /of run run-\w+-\w+ is not what was written/);
  assert.match(stderr, /is damaged \(1 problem\); restore a copy that "gradpool pool backup" made/);
  await rm(damaged);
}

/** For copying a run store by hand, docs/operating.md says which files it has. */
async function assertDocumented(runStore: string): Promise<void> {
  const page = await readFile(new URL("../../../docs/operating.md", import.meta.url), "utf8");
  const files = (await readdir(dirname(runStore))).filter((name) => name.startsWith(basename(runStore)));
  // The locks, and the note about the write-ahead log, hold no data.
  const data = files.filter((name) => !/\.(pid|lock|confirmed)$/.test(name)).sort();
  assert.deepEqual(data, ["runs.sqlite", "runs.sqlite-wal"]);
  for (const name of data) assert.ok(page.includes(`\`${name}\``), name);
}

/** As docs/operating.md says. */
async function restore(copy: string, runStore: string): Promise<void> {
  await copyFile(copy, runStore);
  await rm(`${runStore}-wal`, { force: true });
}
