import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkInRoots, rootsOf, type Roots } from "../src/index.js";

describe("which roots", () => {
  const home = { GRADPOOL_HOME: "/var/lib/gradpool" };
  const ROWS: [env: NodeJS.ProcessEnv, roots: Roots][] = [
    [{ GRADPOOL_ROOTS: "/data, /outputs,s3://results/a" }, ["/data", "/outputs", "s3://results/a"]],
    [{ GRADPOOL_ROOTS: "/data", GRADPOOL_LISTEN: "127.0.0.1:0" }, ["/data"]],
    [{ GRADPOOL_LISTEN: "127.0.0.1:7070" }, undefined],
    [{}, undefined],
    [{ GRADPOOL_ROOTS: "", GRADPOOL_LISTEN: "[::]:7070" }, ["/var/lib/gradpool/shared"]],
    [{ GRADPOOL_LISTEN: "0.0.0.0:7070" }, ["/var/lib/gradpool/shared"]],
  ];
  for (const [env, roots] of ROWS) {
    test(JSON.stringify(env), () => assert.deepEqual(rootsOf({ ...home, ...env }).roots, roots));
  }

  test("refuses what is neither a folder nor a prefix", () => {
    assert.throws(() => rootsOf({ GRADPOOL_ROOTS: "/data,outputs" }), {
      code: "invalid_argument",
      message: /"outputs"/,
    });
  });
});

describe("what is in the roots", () => {
  let folder: string;
  before(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), "gradpool-roots-")));
    await mkdir(join(folder, "root/inner"), { recursive: true });
    await mkdir(join(folder, "rooted"));
    await writeFile(join(folder, "secret"), "");
    await symlink("../secret", join(folder, "root/link"));
    await symlink("..", join(folder, "root/up"));
    await symlink("/nowhere/at/all", join(folder, "root/dangling"));
    await symlink("root", join(folder, "another-name"));
  });
  after(() => rm(folder, { recursive: true }));

  const ROWS: [place: string, isIn: boolean][] = [
    ["root", true],
    ["root/inner", true],
    ["root/not/yet", true],
    ["another-name/inner", true],
    ["root/inner/../..", false],
    ["root/../secret", false],
    ["rooted", false],
    ["secret", false],
    ["root/link", false],
    ["root/up/secret", false],
    ["root/up/not/yet", false],
    ["root/dangling", false],
    ["root/dangling/more", false],
    ["s3://bucket/a", true],
    ["s3://bucket/a/b", true],
    ["s3://bucket/ab", false],
    ["s3://bucket/a/../b", false],
    ["s3://other/a", false],
  ];
  for (const [place, isIn] of ROWS) {
    test(`${place} is ${isIn ? "in" : "out"}`, async () => {
      const path = place.startsWith("s3:") ? place : `${folder}/${place}`;
      // A root may be a link itself.
      const checked = checkInRoots(path, [join(folder, "another-name"), "s3://bucket/a"], "output_dir");
      if (isIn) await checked;
      else await assert.rejects(checked, { code: "permission_denied" });
    });
  }

  test("says what, where, and what allows it", async () => {
    const roots = [join(folder, "root"), "s3://bucket"];
    await assert.rejects(checkInRoots(join(folder, "root/link"), roots, "dataset:"), {
      message:
        `dataset: ${folder}/root/link, which is ${folder}/secret, is outside of what runs of this pool may use ` +
        `(${roots.join(", ")}); choose a place there, or have it added to GRADPOOL_ROOTS`,
    });
  });

  test("nothing is out where there are no roots, and everything is in the root folder", async () => {
    await checkInRoots("/etc/passwd", undefined, "dataset:");
    await checkInRoots("/etc/passwd", ["/"], "dataset:");
    await assert.rejects(checkInRoots("s3://bucket", ["/"], "output_dir"), { code: "permission_denied" });
    await checkInRoots("s3://bucket", ["s3://"], "output_dir");
  });
});
