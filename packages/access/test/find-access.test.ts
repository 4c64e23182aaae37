import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  findKey,
  forgetKey,
  keepKey,
  accessSources,
  localKeyFile,
  PoolKey,
  readKeyFile,
  serviceKey,
} from "../src/index.js";

const GIVEN = "the-key-that-is-given";

describe("a key", () => {
  let all: string;
  let home: string;
  before(() => (all = mkdtempSync(join(tmpdir(), "gradpool-access-"))));
  beforeEach(() => (home = mkdtempSync(join(all, "home-"))));
  after(() => rmSync(all, { recursive: true, force: true }));

  const textOf = (key: PoolKey | undefined) => key?.reveal();
  const fileOf = (port = "7070") => localKeyFile(home, port);

  test("is made once, for this user alone, and is the same for all who start at one moment", async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => keepKey(fileOf())));
    assert.equal(new Set(keys.map(textOf)).size, 1);
    assert.equal(statSync(fileOf()).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(fileOf())).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(dirname(fileOf())), ["key"]);
    await forgetKey(fileOf());
    assert.deepEqual(readdirSync(join(home, "pools")), []);
  });

  test("that is given takes the place of the one in the file", async () => {
    const made = await keepKey(fileOf());
    const given = new PoolKey(GIVEN, "the test");
    assert.equal(textOf(await keepKey(fileOf(), given)), GIVEN);
    assert.equal(textOf(readKeyFile(fileOf())), GIVEN);
    assert.equal(textOf(await keepKey(fileOf())), GIVEN);
    assert.notEqual(made.reveal(), GIVEN);
  });

  test("is looked for where it is named, then among this machine's pools, and goes to no other machine", async () => {
    const made = await keepKey(fileOf());
    const found = (env: NodeJS.ProcessEnv, address: string) =>
      textOf(findKey(accessSources({ GRADPOOL_HOME: home, ...env }), address));
    const own = Object.values(networkInterfaces()).flatMap((each = []) => each.map(({ address }) => address));
    for (const host of ["127.0.0.1", "localhost", ...own.map((ip) => (ip.includes(":") ? `[${ip}]` : ip))]) {
      assert.equal(found({}, `${host}:7070`), made.reveal(), host);
    }
    assert.equal(found({}, "127.0.0.1:7071"), undefined);
    for (const elsewhere of ["192.0.2.1:7070", "pool.example:7070", "127.0.0.1.example:7070"]) {
      assert.equal(found({}, elsewhere), undefined);
      assert.equal(found({ GRADPOOL_KEY: GIVEN }, elsewhere), GIVEN);
    }
    assert.equal(found({ GRADPOOL_KEY_FILE: fileOf() }, "pool.example:7070"), made.reveal());
    assert.equal(found({ GRADPOOL_KEY: GIVEN, GRADPOOL_KEY_FILE: fileOf() }, "127.0.0.1:7070"), GIVEN);
  });

  test("file is refused when others can read it, when it is not a file, and when it is not there", async () => {
    await keepKey(fileOf());
    chmodSync(fileOf(), 0o640);
    assert.throws(() => findKey({ home }, "127.0.0.1:7070"), {
      code: "failed_precondition",
      message: /others can read it; /,
    });
    // One that is named may come from a secret's volume, which has a mode of its own.
    assert.ok(readKeyFile(fileOf()));
    const pipe = join(home, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const [path, why] of [
      [pipe, /not a regular file/],
      [home, /not a regular file/],
      [join(home, "none"), /does not exist/],
    ] as const) {
      assert.throws(() => readKeyFile(path), { code: "failed_precondition", message: why });
    }
    mkdirSync(join(home, "x"));
    writeFileSync(join(home, "x", "key"), "");
    assert.throws(() => readKeyFile(join(home, "x", "key")), {
      code: "invalid_argument",
      message: /a key is 16 to 512/,
    });
  });

  test("of a service is told, or that of the pool of this machine that it calls", async () => {
    const made = await keepKey(fileOf());
    const coordinator = { GRADPOOL_HOME: home, GRADPOOL_COORDINATOR_ADDRESS: "127.0.0.1:7070" };
    assert.equal(textOf(serviceKey(coordinator)), made.reveal());
    assert.equal(textOf(serviceKey({ ...coordinator, GRADPOOL_KEY: GIVEN })), GIVEN);
    assert.throws(() => serviceKey({ GRADPOOL_HOME: home }), { message: /^GRADPOOL_KEY: .*GRADPOOL_KEY_FILE/ });
  });
});
