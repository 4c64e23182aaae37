import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import type { SaveHeader } from "@gradpool/rpc";
import type { ArtifactStore } from "../src/artifact-store.js";
import { nodeFileSystem } from "../src/file-system.js";
import { LocalFolders } from "../src/local-folders.js";
import { OutputStore } from "../src/output-store.js";
import { stageName } from "../src/names.js";
import { Crash, CrashingFileSystem, FullDisk } from "./crashing-file-system.js";
import { collect, dataOf, headerOf, LOG, tempFolder, type Files } from "./support.js";

const OLD = { "adapter.safetensors": "old adapter", "state.safetensors": "old state", "old.txt": "" };
const NEW = { "adapter.safetensors": "new adapter", "state.safetensors": "new state", "new.txt": "new" };

let clock = Date.parse("2025-01-01T00:00:00Z");
const now = () => new Date((clock += 1000));
const NEVER = new AbortController().signal;

function saveTo(store: ArtifactStore, outputDir: string, step: number, files: Files, change?: Partial<SaveHeader>) {
  async function* data() {
    yield* dataOf(files);
  }
  return store.save(headerOf(outputDir, step, files, change), data(), NEVER);
}

/** The checkpoints by step with their files' content, as a reader finds them; none may be damaged. */
async function contents(store: ArtifactStore, outputDir: string): Promise<Map<number, Files>> {
  const found = new Map<number, Files>();
  for (const { name, step, damage } of await store.verify(outputDir, "", NEVER)) {
    assert.equal(damage, "");
    found.set(step, await loaded(store, outputDir, name));
  }
  return found;
}

async function loaded(store: ArtifactStore, outputDir: string, name: string): Promise<Files> {
  async function* responses() {
    for await (const { checkpoint, path, data } of store.load(outputDir, { name, runId: "", paths: [] }, NEVER)) {
      yield { name: checkpoint, path, data: new Uint8Array(data), damaged: [] };
    }
  }
  return (await collect(responses())).files;
}

interface Scenario {
  /** What exists before. */
  before: (store: ArtifactStore, outputDir: string) => Promise<unknown>;
  /** What the crash interrupts. */
  work: (store: ArtifactStore, outputDir: string) => Promise<unknown>;
  /** What may exist afterwards; `done`: the work had finished. */
  check: (found: Map<number, Files>, done: boolean, outputDir: string) => void;
}

const RECOVERY = (step: number) => ({ name: `.recovery-epoch0-step${step}` });
const nothing = async () => {};
const among = (found: Map<number, Files>, allowed: [number, Files][][]) =>
  assert.ok(
    allowed.some((state) => {
      const same = state.every(([step, files]) => JSON.stringify(found.get(step)) === JSON.stringify(files));
      return same && state.length === found.size;
    }),
    `neither the old nor the new: ${JSON.stringify([...found])}`,
  );

const SCENARIOS: Record<string, Scenario> = {
  "a first checkpoint": {
    before: nothing,
    work: (store, outputDir) => saveTo(store, outputDir, 2, NEW),
    check: (found, done) => among(found, done ? [[[2, NEW]]] : [[], [[2, NEW]]]),
  },
  "a next checkpoint that pushes out the old one": {
    before: (store, outputDir) => saveTo(store, outputDir, 1, OLD),
    work: (store, outputDir) => saveTo(store, outputDir, 2, NEW, { keepLastN: 1 }),
    check: (found, done) => {
      const states: [number, Files][][] = [
        [[2, NEW]],
        [
          [1, OLD],
          [2, NEW],
        ],
        [[1, OLD]],
      ];
      // A save is done when the new one exists, even if the old one could not be removed.
      among(found, done ? states.slice(0, 2) : states);
    },
  },
  "a checkpoint that replaces one of its name": {
    before: (store, outputDir) => saveTo(store, outputDir, 1, OLD),
    work: (store, outputDir) => saveTo(store, outputDir, 1, NEW),
    check: (found, done) => among(found, done ? [[[1, NEW]]] : [[[1, OLD]], [[1, NEW]]]),
  },
  "a recovery point over an older one": {
    before: async (store, outputDir) => {
      await saveTo(store, outputDir, 1, OLD);
      await saveTo(store, outputDir, 2, OLD, RECOVERY(2));
    },
    work: (store, outputDir) => saveTo(store, outputDir, 3, NEW, RECOVERY(3)),
    check: (found, done) => {
      const plain: [number, Files] = [1, OLD];
      const [older, newer]: [number, Files][] = [
        [2, OLD],
        [3, NEW],
      ];
      const saved = [
        [plain, newer!],
        [plain, older!, newer!],
      ];
      among(found, done ? saved : [...saved, [plain, older!]]);
    },
  },
  "a recovery point over one of its name": {
    before: (store, outputDir) => saveTo(store, outputDir, 2, OLD, RECOVERY(2)),
    work: (store, outputDir) => saveTo(store, outputDir, 2, NEW, RECOVERY(2)),
    check: (found, done) => among(found, done ? [[[2, NEW]]] : [[[2, OLD]], [[2, NEW]]]),
  },
  "a removal of one that was being replaced": {
    before: async (store, outputDir) => {
      await saveTo(store, outputDir, 1, OLD);
      cpSync(
        `${outputDir}/checkpoint-epoch0-step1`,
        `${outputDir}/${stageName("checkpoint-epoch0-step1", "replaced")}`,
        {
          recursive: true,
        },
      );
    },
    work: (store, outputDir) => store.remove(outputDir, "checkpoint-epoch0-step1", "request-1"),
    check: (found, done) => among(found, done ? [[]] : [[], [[1, OLD]]]),
  },
  "a removal": {
    before: async (store, outputDir) => {
      await saveTo(store, outputDir, 1, OLD);
      await saveTo(store, outputDir, 2, NEW);
    },
    work: (store, outputDir) => store.remove(outputDir, "checkpoint-epoch0-step1", "request-1"),
    check: (found, done) =>
      among(
        found,
        done
          ? [[[2, NEW]]]
          : [
              [[2, NEW]],
              [
                [1, OLD],
                [2, NEW],
              ],
            ],
      ),
  },
  "a result": {
    before: (store, outputDir) => saveTo(store, outputDir, 0, OLD, { name: "" }),
    work: (store, outputDir) => saveTo(store, outputDir, 0, NEW, { name: "" }),
    check: (_, done, outputDir) => {
      for (const [path, content] of Object.entries(NEW)) {
        const old = (OLD as Files)[path];
        const file = readdirSync(outputDir).includes(path) ? readFileSync(`${outputDir}/${path}`, "utf8") : undefined;
        assert.ok(file === content || (!done && file === old), `${path}: ${file}`);
      }
      assert.equal(readFileSync(`${outputDir}/old.txt`, "utf8"), "");
    },
  },
};

for (const [name, scenario] of Object.entries(SCENARIOS)) {
  for (const power of ["the process dies", "the power fails"]) {
    test(`I5: ${name}: wherever ${power}, the old or the new one exists`, async (t) => {
      const operations = await crashEverywhere(t, scenario, power === "the power fails");
      assert.ok(operations > 5, `only ${operations} places to crash at`);
    });
  }
}

/** Runs a scenario once for each operation that it makes. Returns their number. */
async function crashEverywhere(
  t: TestContext,
  { before, work, check }: Scenario,
  powerFails: boolean,
): Promise<number> {
  const folder = tempFolder(t);
  mkdirSync(`${folder}/before`);
  await before(new OutputStore(new LocalFolders(nodeFileSystem), now, LOG), `${folder}/before`);
  for (let crashAt = 1; ; crashAt++) {
    const outputDir = `${folder}/${crashAt}`;
    const backup = `${folder}/backup-${crashAt}`;
    mkdirSync(backup);
    cpSync(`${folder}/before`, outputDir, { recursive: true });
    const fs = new CrashingFileSystem(crashAt, backup);
    let done = true;
    try {
      await work(new OutputStore(new LocalFolders(fs), now, LOG), outputDir);
    } catch (error) {
      assert.ok(error instanceof Crash, String(error));
      done = false;
    }
    const crashed = fs.operations >= crashAt;
    if (powerFails) fs.loseUnsynced();

    const after = new OutputStore(new LocalFolders(nodeFileSystem), now, LOG);
    check(await contents(after, outputDir), done, outputDir);
    // The run's next save removes whatever the crash left behind, and recovery points.
    const found = await contents(after, outputDir);
    for (const { step, recovery } of await after.list(outputDir)) if (recovery) found.delete(step);
    await saveTo(after, outputDir, 7, { next: "7" });
    assert.deepEqual(await contents(after, outputDir), new Map([[7, { next: "7" }], ...found]));
    await after[Symbol.asyncDispose]();
    assert.deepEqual(
      readdirSync(outputDir).filter((entry) => entry.startsWith(".")),
      [],
      `after a crash at ${crashAt}`,
    );
    if (!crashed) return fs.operations;
  }
}

test("whichever operation of a save finds the disk full, nothing half-written is left", async (t) => {
  const folder = tempFolder(t);
  for (let failAt = 1; ; failAt++) {
    const outputDir = `${folder}/${failAt}`;
    await saveTo(new OutputStore(new LocalFolders(nodeFileSystem), now, LOG), outputDir, 1, OLD);
    const fs = new FullDisk(failAt);
    await using store = new OutputStore(new LocalFolders(fs), now, LOG);
    const failure = await saveTo(store, outputDir, 2, NEW).then(
      () => undefined,
      (error: { code?: string }) => error,
    );
    assert.equal(failure?.code, fs.hasFailed ? "resource_exhausted" : undefined, `operation ${failAt}`);
    assert.deepEqual((await contents(store, outputDir)).get(1), OLD);
    const left = readdirSync(outputDir).filter((entry) => entry !== "checkpoint-epoch0-step1");
    // The rename may have happened when the folder could not be synced.
    assert.deepEqual(
      left.filter((entry) => entry !== "checkpoint-epoch0-step2"),
      [],
      `operation ${failAt}`,
    );
    fs.makeRoom();
    await saveTo(store, outputDir, 3, NEW);
    assert.deepEqual((await contents(store, outputDir)).get(3), NEW);
    if (!fs.hasFailed) return assert.ok(failAt > 10, `only ${failAt} operations`);
  }
});

for (const [code, expected, text] of [
  ["ENOSPC", "resource_exhausted", /no space left/],
  ["EDQUOT", "resource_exhausted", /no space left/],
  ["EACCES", "permission_denied", /cannot be written; change its permissions/],
  ["EROFS", "permission_denied", /read-only/],
] as const) {
  test(`${code} in the middle of a save is explained and leaves nothing behind`, async (t) => {
    const outputDir = tempFolder(t);
    writeFileSync(`${outputDir}/other.txt`, "");
    for (const [operation, change] of [
      ["write", {}],
      ["sync", {}],
      ["write", { name: "" }],
    ] as const) {
      const fails = async () => {
        throw Object.assign(new Error(`${code}: ${operation}`), { code });
      };
      const create = async (path: string) => {
        const file = await nodeFileSystem.create(path);
        return path.endsWith("new.txt") ? { ...file, [operation]: fails } : file;
      };
      await using store = new OutputStore(new LocalFolders({ ...nodeFileSystem, create }), now, LOG);
      await assert.rejects(saveTo(store, outputDir, 1, NEW, change), (error: Error & { code?: string }) => {
        assert.match(error.message, text);
        return error.code === expected && error.message.includes(outputDir);
      });
      assert.deepEqual(readdirSync(outputDir), ["other.txt"]);
    }
  });
}
