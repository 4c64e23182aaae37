/** A home folder that cannot be written, or that nobody knows: a pool never starts on an empty run store elsewhere. */
import assert from "node:assert/strict";
import { chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import {
  createPrivateFolders,
  createRunStoreFolder,
  createStackFolders,
  fallbackHome,
} from "../src/local-stack/stack-folders.js";
import { Cli, jsonLines, run, withFolder } from "./support.js";

const TIMEOUT = { timeout: 120_000 };

/** A user without an entry in the password database. */
const UNKNOWN = { uid: 12_345, gid: 12_345 };
const IS_ROOT = process.getuid?.() === 0;
const AS_OTHERS = { ...TIMEOUT, skip: IS_ROOT ? false : "only root can run commands as other users" };

describe("gradpool up", () => {
  test("is refused when its home cannot be written", TIMEOUT, async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "file"), "");
      const home = join(folder, "file", "home");
      const { code, stdout, stderr } = await new Cli(["up", "--port", "0"], { GRADPOOL_HOME: home }).ended;
      const advice = "set GRADPOOL_HOME to a folder that can be written";
      assert.equal(lastLine(stderr), `gradpool: ${home} cannot be written (ENOTDIR); ${advice}`);
      assert.equal(stdout, "");
      assert.equal(code, 1);
    });
  });

  test(
    "is refused for another user's home, and says so to a user whom the system does not know",
    AS_OTHERS,
    async () => {
      await withFolder(async (folder) => {
        await chmod(folder, 0o755);
        for (const [env, home] of [
          [{ GRADPOOL_HOME: join(folder, "home"), HOME: undefined }, join(folder, "home")],
          [{ GRADPOOL_HOME: undefined, HOME: undefined }, "/.gradpool"],
        ] as const) {
          const { code, stderr } = await new Cli(["up", "--port", "0"], env, UNKNOWN).ended;
          assert.match(
            lastLine(stderr),
            new RegExp(`^gradpool: ${home} cannot be written \\(EACCES\\); set GRADPOOL_HOME`),
          );
          assert.equal(code, 1);
        }
      });
    },
  );

  test("works for a user whom the system does not know", AS_OTHERS, async () => {
    await withFolder(async (home) => {
      await chown(home, UNKNOWN.uid, UNKNOWN.gid);
      const env = { GRADPOOL_HOME: home, HOME: undefined, TMPDIR: home };
      const up = new Cli(["up", "--port", "0", "--json"], env, UNKNOWN);
      await up.written("stdout", /\n/);
      const address = String(jsonLines(up.stdout)[0]?.["address"]);
      const status = await new Cli(["pool", "status", "--address", address], env, UNKNOWN).ended;
      assert.equal(status.code, 0, status.stderr);
      assert.match(status.stdout, /trainer-1/);
      up.child.kill("SIGINT");
      assert.equal((await up.ended).code, 130);
    });
  });
});

test("a token file that cannot be read is an error of one line", async () => {
  await withFolder(async (folder) => {
    const { code, stderr } = await run(["run", "list"], { HF_TOKEN_PATH: folder });
    assert.equal(stderr, `gradpool: ${folder} cannot be read; make it readable, or set HF_TOKEN\n`);
    assert.equal(code, 1);
  });
});

test("the folder of a pool's runs is checked, too", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "pools"));
    await writeFile(join(folder, "pools", "7070"), "");
    await assert.rejects(createRunStoreFolder(join(folder, "pools", "7070")), /7070 cannot be written \(EEXIST\)/);
  });
});

test("a home that anybody can write is refused, since others could replace what is in it", async () => {
  await withFolder(async (folder) => {
    const home = join(folder, "home");
    await mkdir(home);
    await chmod(home, 0o777);
    const refusal = { code: "permission_denied", message: /home can be written by every user; .*, or chmod o-w it$/ };
    await assert.rejects(createStackFolders(home, new Date()), refusal);
  });
});

test("a private pool, which leaves nothing to keep, works in the system's temporary folder", async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, "file"), "");
    const notes: string[] = [];
    const folders = await createPrivateFolders(join(folder, "file", "home"), new Date(), (text) => notes.push(text));
    try {
      assert.equal(dirname(folders.home), tmpdir());
      assert.equal(folders.home, fallbackHome());
      assert.match(notes.join("\n"), /^.*\/file\/home cannot be written \(ENOTDIR\); .*; until then logs go to \S+$/);
    } finally {
      await rm(folders.run, { recursive: true });
      await rm(folders.logs, { recursive: true });
    }
  });
});

const lastLine = (text: string) => text.trimEnd().split("\n").at(-1) ?? "";
