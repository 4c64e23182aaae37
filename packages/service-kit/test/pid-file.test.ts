import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { identityOf, readPidFile, writePidFile } from "../src/index.js";

let folder: string;
before(async () => void (folder = await mkdtemp(join(tmpdir(), "gradpool-pid-"))));
after(() => rm(folder, { recursive: true, force: true }));

test("a pid file says who runs, where, since when, and nothing is left beside it", async () => {
  const path = join(folder, "tokenizer.pid");
  const before = Date.now();
  await writePidFile(path, { name: "tokenizer", address: "127.0.0.1:7071", pid: process.pid });
  const found = await readPidFile(path);
  assert.deepEqual(
    { ...found, started_at: undefined },
    {
      name: "tokenizer",
      address: "127.0.0.1:7071",
      process: identityOf(),
      started_at: undefined,
    },
  );
  const startedAt = Date.parse(found?.started_at ?? "");
  assert.ok(startedAt >= before && startedAt <= Date.now());
  assert.deepEqual(await readdir(folder), ["tokenizer.pid"]);
});

test("a file that is not a pid file is not read as one", async () => {
  const good = JSON.stringify({ name: "a", address: "", process: identityOf(), started_at: new Date() });
  const path = join(folder, "other.pid");
  for (const text of ["", "{", "[]", "7071\n", good.replace(`${process.pid}`, "-1"), good + " ".repeat(16 * 1024)]) {
    await writeFile(path, text);
    assert.equal(await readPidFile(path), undefined, text.slice(0, 80));
  }
  await writeFile(path, good);
  assert.equal((await readPidFile(path))?.name, "a");
  assert.equal(await readPidFile(join(folder, "none.pid")), undefined);
  assert.equal(await readPidFile(folder), undefined);
});

test("a folder that is not there cannot hold one", async () => {
  const path = join(folder, "none", "a.pid");
  await assert.rejects(writePidFile(path, { name: "a", address: "", pid: process.pid }), /ENOENT/);
});
