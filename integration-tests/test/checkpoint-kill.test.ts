/** I5 with the real service: killed at any system call of a save that changes a file, the old or the new is there. */
import assert from "node:assert/strict";
import { cpSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";
import { Workspace } from "@gradpool/integration-tests";
import { fileThread, killedAt, killPoints, whyNoTracing, type KillPoint } from "../src/kill-points.js";
import { checkpointFiles, StoreProcess, type Files } from "../src/store-process.js";

/** Points of each scenario in the ordinary suite. */
const CHOSEN_POINTS = 4;
const SEED = 20_251_124;
const ALL = process.env["GRADPOOL_KILL_POINTS"] === "all";
const TIMEOUT = { timeout: ALL ? 3_600_000 : 600_000 };

const RUN = "run-1";
const plain = (step: number) => `checkpoint-epoch0-step${step}`;
const recovery = (step: number) => `.recovery-epoch0-step${step}`;

interface Save {
  name: string;
  step: number;
  kind: number;
  keepLastN?: number;
}

/** The checkpoints before, oldest first, and the save that is killed. */
const SCENARIOS: Record<string, { before: Save[]; save: Save }> = {
  "a checkpoint that pushes out the old one and a recovery point": {
    before: [
      { name: plain(1), step: 1, kind: 1 },
      { name: recovery(2), step: 2, kind: 2 },
    ],
    save: { name: plain(3), step: 3, kind: 3, keepLastN: 1 },
  },
  "a recovery point over an older one": {
    before: [{ name: recovery(2), step: 2, kind: 2 }],
    save: { name: recovery(3), step: 3, kind: 3 },
  },
  "a checkpoint that replaces one of its name": {
    before: [{ name: plain(3), step: 3, kind: 2 }],
    save: { name: plain(3), step: 3, kind: 3 },
  },
};

const noTracing = whyNoTracing();
const skip = noTracing === undefined || process.env["CI"] ? false : `${noTracing}: nothing is killed`;

describe("I5: a checkpoint store that is killed while it saves", { skip }, () => {
  for (const [title, { before, save }] of Object.entries(SCENARIOS)) {
    test(title, TIMEOUT, async (t) => {
      assert.equal(noTracing, undefined, "strace is needed where CI is set");
      await using workspace = await Workspace.create();
      const prepared = workspace.path("prepared");
      await using maker = await StoreProcess.start();
      for (const one of before) await saveOne(maker, prepared, one);

      const all = await pointsOf(workspace, prepared, save);
      assert.ok(all.length > 20, `only ${all.length} points`);
      const points = ALL ? all : chosen(all, CHOSEN_POINTS);
      let kills = 0;
      for (const [i, point] of points.entries()) {
        const outputDir = workspace.path(`killed-${i}`);
        cpSync(prepared, outputDir, { recursive: true });
        if (await killDuring(outputDir, save, point)) kills++;
        const where = `killed at ${point.syscall} ${point.occurrence}`;
        await checkAfter(outputDir, before, save, where);
      }
      t.diagnostic(`${kills} kills at ${points.length} of ${all.length} points`);
      assert.equal(kills, points.length, "each point is reached");
    });
  }
});

function saveOne(store: StoreProcess, outputDir: string, { name, step, kind, keepLastN = 0 }: Save) {
  return store.save({ outputDir, runId: RUN, name, step, keepLastN }, checkpointFiles(kind));
}

/** A store whose file thread is known. */
async function warmStore(outputDir: string): Promise<{ store: StoreProcess; thread: number }> {
  const store = await StoreProcess.start();
  await store.client.list({ outputDir });
  return { store, thread: fileThread(store.pid) };
}

async function pointsOf(workspace: Workspace, prepared: string, save: Save): Promise<KillPoint[]> {
  const outputDir = workspace.path("whole");
  cpSync(prepared, outputDir, { recursive: true });
  const { store, thread } = await warmStore(outputDir);
  await using _ = store;
  return await killPoints(thread, workspace.path("strace.log"), () => saveOne(store, outputDir, save));
}

/** Whether the store was killed; a save that was answered before does not fail. */
async function killDuring(outputDir: string, save: Save, point: KillPoint): Promise<boolean> {
  const { store, thread } = await warmStore(outputDir);
  await using _ = store;
  let answered = false;
  await killedAt(thread, point, async () => {
    const saving = saveOne(store, outputDir, save).then(() => (answered = true));
    await saving.catch(() => store.ended);
  });
  if (!answered) return (await store.ended) === "SIGKILL";
  // The only thing left after the answer is done at once: releasing the folder.
  return false;
}

async function checkAfter(outputDir: string, before: Save[], save: Save, where: string): Promise<void> {
  await using store = await StoreProcess.start();
  const old = before.at(-1) as Save;
  const { name, files } = await store.load(outputDir);
  const isNew = same(files, checkpointFiles(save.kind));
  assert.ok(isNew || same(files, checkpointFiles(old.kind)), `${where}: neither the old nor the new`);
  assert.equal(name, isNew ? save.name : old.name, where);
  const { checkpoints } = await store.client.verify({ outputDir, name: "" });
  assert.deepEqual(
    checkpoints.filter(({ damage }) => damage),
    [],
    where,
  );
  const known = [...before, save].map((one) => one.name);
  for (const checkpoint of checkpoints) assert.ok(known.includes(checkpoint.name), `${where}: ${checkpoint.name}`);

  await saveOne(store, outputDir, { name: plain(9), step: 9, kind: 9 });
  const next = await store.load(outputDir);
  assert.equal(next.name, plain(9), where);
  assert.ok(same(next.files, checkpointFiles(9)), where);
  assert.deepEqual(
    readdirSync(outputDir).filter((entry) => /^\.(?!gradpool\.lock)/.test(entry)),
    [],
    where,
  );
}

function same(a: Files, b: Files): boolean {
  const isSame = ([path, bytes]: [string, Uint8Array]) => Buffer.compare(bytes, b.get(path) ?? new Uint8Array()) === 0;
  return a.size === b.size && [...a].every(isSame);
}

/** `count` of them, spread over all and drawn with a fixed seed. */
function chosen(points: readonly KillPoint[], count: number): KillPoint[] {
  let state = SEED;
  const uniform = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const stride = points.length / count;
  return Array.from({ length: count }, (_, i) => points[Math.floor((i + uniform()) * stride)] as KillPoint);
}
