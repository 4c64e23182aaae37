/** Connections to PostgreSQL: URLs, failures that pass, failover; and the statements by which coordinators share a store. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { postgresPrograms, PostgresServer } from "@gradpool/integration-tests";
import { createLogger } from "@gradpool/service-kit";
import { describe as described, parsePostgresUrl, tlsOptions } from "../src/store/postgres/address.js";
import { Database } from "../src/store/postgres/database.js";
import * as membership from "../src/store/postgres/membership.js";
import { migrate } from "../src/store/postgres/migrations.js";
import { passwordIn } from "../src/store/postgres/password-file.js";
import { failure } from "./support.js";

const LOG = createLogger("database", { GRADPOOL_LOG_LEVEL: "silent" });
const { skip } = await postgresPrograms();

describe("a URL of PostgreSQL", () => {
  it("names hosts, user, password and TLS as libpq's do", () => {
    const address = parsePostgresUrl("postgresql://a%40b:p%3Aq@one:5433,[::1],three/runs?sslmode=verify-full", {});
    assert.deepEqual(address.hosts, [
      { host: "one", port: 5433 },
      { host: "::1", port: 5432 },
      { host: "three", port: 5432 },
    ]);
    assert.deepEqual(
      [address.user, address.password, address.database, address.tls],
      ["a@b", "p:q", "runs", "verify-full"],
    );
    assert.equal(described(address), "postgres://a@b@one:5433,[::1]:5432,three:5432/runs");
    assert.equal(tlsOptions(address, { host: "one", port: 1 })?.rejectUnauthorized, true);
    const onSocket = parsePostgresUrl("postgres://u@/?host=/run/postgresql", { PGPASSWORD: "secret" });
    assert.deepEqual([onSocket.user, onSocket.password, onSocket.database], ["u", "secret", "u"]);
    assert.deepEqual(onSocket.hosts, [{ host: "/run/postgresql", port: 5432 }]);
    assert.equal(tlsOptions(onSocket, { host: "/run/postgresql", port: 5432 }), undefined);
  });

  it("leaves the password to a file as libpq's, unless others may read it", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "gradpool-pgpass-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, "pgpass");
    const lines = ["# a comment", "other:5432:*:u:no", "h:*:runs:u:a\\:b\\\\c", "*:*:*:*:any"];
    writeFileSync(file, lines.join("\n"), { mode: 0o600 });
    const owner = { host: "h", port: 5433, database: "runs", user: "u" };
    assert.equal(passwordIn(file, owner), "a:b\\c");
    assert.equal(passwordIn(file, { ...owner, host: "/run/postgresql" }), "any");
    chmodSync(file, 0o644);
    assert.equal(passwordIn(file, owner), undefined);
    assert.equal(passwordIn(join(folder, "none"), owner), undefined);
  });

  it("is refused in a line without its password", () => {
    for (const [url, problem] of [
      ["postgres://u:secret@h:x/d", /h:x is not HOST:PORT/],
      ["postgres://u:secret@h/d?sslmode=maybe", /sslmode is disable, .*, not maybe/],
      ["postgres://u:secret@h/d?target_session_attrs=standby", /a run store is written to/],
      ["postgres://u:secret@h/d?max_conns=3", /its parameter max_conns is not known/],
      ["postgres://u:secret%@h/d", /write it as %25/],
      ["postgres://:secret@h/d", /it has no user/],
      ["postgres://u:secret@h/d/e?#", /it is not postgres:/],
    ] as const) {
      assert.throws(() => parsePostgresUrl(url, {}), failure("invalid_argument", problem));
      assert.throws(
        () => parsePostgresUrl(url, {}),
        (error: Error) => !error.message.includes("secret"),
      );
    }
  });
});

describe("a PostgreSQL database", { skip, timeout: 120_000 }, () => {
  const started = skip ? undefined : PostgresServer.start();
  after(async () => (await started)?.[Symbol.asyncDispose]());

  async function database(url?: string, size = 1): Promise<Database> {
    const server = await started;
    assert.ok(server);
    return new Database(parsePostgresUrl(url ?? (await server.emptyDatabase()), {}), { log: LOG, size });
  }

  it("undoes a transaction that fails, and does one again that is in another's way", async () => {
    await using db = await database(undefined, 2);
    await db.query("CREATE TABLE t (a integer PRIMARY KEY, b bigint NOT NULL, c bytea)");
    const bytes = new Uint8Array([0, 92, 255]);
    await db.query("INSERT INTO t VALUES ($1, $2, $3)", [1, 2 ** 50, bytes]);
    assert.deepEqual(await db.query("SELECT * FROM t"), [{ a: 1, b: 2 ** 50, c: Buffer.from(bytes) }]);
    const broken = db.transaction(async (sql) => {
      await sql("INSERT INTO t VALUES ($1, 1, NULL)", [2]);
      await sql("INSERT INTO t VALUES ($1, 1, NULL)", [1]);
    });
    await assert.rejects(broken, /duplicate key/);
    assert.equal((await db.query("SELECT * FROM t")).length, 1);
    await db.query("INSERT INTO t VALUES (2, 0, NULL)");
    const increment = (first: number, second: number) =>
      db.transaction(async (sql) => {
        for (const a of [first, second]) {
          await sql("UPDATE t SET b = b + 1 WHERE a = $1", [a]);
          await delay(30);
        }
      });
    await Promise.all([increment(1, 2), increment(2, 1)]);
    assert.deepEqual(
      (await db.query("SELECT b FROM t ORDER BY a")).map(({ b }) => b),
      [2 ** 50 + 2, 2],
    );
  });

  it("says why it cannot be used, without the password", async () => {
    const server = await started;
    assert.ok(server);
    const wrong = server.url().replace(server.password, "wrong-password");
    for (const [url, code, problem] of [
      [wrong, "failed_precondition", /password authentication failed.*check the user/],
      [server.url("nowhere"), "failed_precondition", /"nowhere" does not exist/],
      [
        server.url().replace(server.address, "127.0.0.1:1"),
        "unavailable",
        /cannot be used \(.*ECONNREFUSED.*check that/,
      ],
      [`${server.url()}?sslmode=require`, "unavailable", /does not support SSL/],
    ] as const) {
      await using db = await database(url);
      const asked = db.query("SELECT 1", [], { patienceMs: 0 });
      await assert.rejects(asked, failure(code, problem));
      await assert.rejects(asked, (error: Error) => !/wrong-password|[0-9a-f]{24}/.test(error.message));
    }
  });

  it("is brought up to date by one of many at a time, and not by an older gradpool", async () => {
    await using db = await database(undefined, 5);
    await Promise.all(Array.from({ length: 5 }, () => migrate(db)));
    const [row] = await db.query("SELECT version FROM gradpool.schema_version");
    assert.ok(Number(row?.["version"]) >= 1);
    await db.query("UPDATE gradpool.schema_version SET version = 1000");
    await assert.rejects(migrate(db), failure("failed_precondition", /made by a newer gradpool/));
  });

  it("hears what others say, and says when it may have missed something", async () => {
    await using db = await database(undefined, 2);
    const heard: string[] = [];
    let connected = 0;
    const over = new AbortController();
    const listening = db.listen(
      "talk",
      (text) => heard.push(text),
      () => connected++,
      over.signal,
    );
    const until = async (isSo: () => boolean) => {
      while (!isSo()) await delay(10);
    };
    await until(() => connected === 1);
    await db.query("SELECT pg_notify($1, $2)", ["talk", "one"]);
    await until(() => heard.length === 1);
    await db.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
    );
    await until(() => connected === 2);
    await db.query("SELECT pg_notify($1, $2)", ["talk", "two"]);
    await until(() => heard.length === 2);
    assert.deepEqual(heard, ["one", "two"]);
    over.abort();
    await listening;
  });

  describe("with coordinators", () => {
    const member = (): membership.Member => ({ id: randomUUID(), address: "127.0.0.1:1", protocol: 1 });

    async function withRuns(runs: number): Promise<Database> {
      const db = await database(undefined, 6);
      await migrate(db);
      await db.query(
        `INSERT INTO gradpool.runs (run_id, state, ended, output_key, run, checksum)
         SELECT 'run-' || n, 'x', n % 5 = 0, sha256(n::text::bytea), '', '' FROM generate_series(1, ${runs}) AS n`,
      );
      return db;
    }

    const commit = (db: Database, id: string, n: number) => db.query("SELECT gradpool.begin_commit($1, $2)", [id, n]);

    it("fences a member off whose lease was taken away, and recognizes its commits by number", async () => {
      await using db = await withRuns(0);
      const [a, b] = [member(), member()];
      const join = (who: membership.Member, leaseMs: number) =>
        db.transaction((at) => membership.join(at, who, leaseMs));
      assert.deepEqual([await join(a, 1), await join(b, 60_000)], [1, 2]);
      await commit(db, a.id, 1);
      await assert.rejects(commit(db, a.id, 1), /is not its next one/);
      await commit(db, a.id, 2);
      await delay(5);
      // Late, but nobody has taken it away.
      assert.equal(await membership.renew(db, a.id, 1), true);
      await delay(5);
      assert.deepEqual(
        (await membership.members(db.sql)).map(({ isExpired }) => isExpired),
        [true, false],
      );
      assert.deepEqual(await membership.endExpired(db.sql, b.id), [a.id]);
      assert.equal(await membership.renew(db, a.id, 60_000), false);
      await assert.rejects(commit(db, a.id, 3), /it is not alive/);
      assert.deepEqual(
        (await membership.members(db.sql)).map(({ id }) => id),
        [b.id],
      );
      await membership.forgetMembers(db.sql, 0);
      assert.equal((await db.query("SELECT * FROM gradpool.coordinators")).length, 1);
    });

    it("gives each run to one of the members that take at once, a few at a time and in order", async () => {
      await using db = await withRuns(50);
      const all = Array.from({ length: 5 }, member);
      for (const who of all) await membership.join(db.sql, who, 60_000);
      const take = (id: string, limit: number) => db.transaction((sql) => membership.takeRuns(sql, id, limit));
      const taken: string[] = [];
      await Promise.all(
        all.map(async ({ id }) => {
          for (;;) {
            const runs = await take(id, 3);
            assert.ok(runs.length <= 3);
            assert.ok(runs.every(({ epoch }) => epoch === 2));
            taken.push(...runs.map(({ runId }) => runId));
            if (runs.length === 0 && taken.length >= 40) return;
          }
        }),
      );
      assert.equal(taken.length, 40);
      assert.equal(new Set(taken).size, 40);
      const owners = await membership.owners(db.sql);
      assert.equal(owners.length, 40);
      // One leaves: others take its runs over, under a higher epoch.
      const [first, second] = all.map(({ id }) => id);
      assert.ok(first && second);
      const left = owners.filter(({ owner }) => owner === first).map(({ runId }) => runId);
      await db.transaction((sql) => membership.leave(sql, first));
      assert.deepEqual(await take(first, 100), []);
      const over = await take(second, 100);
      assert.deepEqual(
        over,
        left.map((runId) => ({ runId, epoch: 3 })),
      );
    });

    it("lets one give up some of its runs, which others take", async () => {
      await using db = await withRuns(4);
      const [a, b] = [member(), member()];
      for (const who of [a, b]) await membership.join(db.sql, who, 60_000);
      const take = (id: string) => db.transaction((sql) => membership.takeRuns(sql, id, 100));
      const own = (await take(a.id)).map(({ runId }) => runId);
      // The runs of others stay, and an id without a run changes nothing.
      await db.transaction((sql) => membership.giveUpRuns(sql, b.id, own));
      await db.transaction((sql) => membership.giveUpRuns(sql, a.id, [own[1]!, own[2]!, 'no "run", {}']));
      const taken = (await take(b.id)).map(({ runId }) => runId);
      assert.deepEqual(taken, own.slice(1, 3));
      await db.transaction((sql) => membership.giveUpRuns(sql, a.id));
      assert.deepEqual(
        (await take(b.id)).map(({ runId }) => runId),
        own.filter((runId) => !taken.includes(runId)),
      );
    });

    it("knows those that were declared dead and then left by themselves", async () => {
      await using db = await withRuns(0);
      const [lost, killed, stopped, alive] = [member(), member(), member(), member()];
      const lives = new Map<string, number>();
      for (const who of [lost, killed]) lives.set(who.id, await membership.join(db.sql, who, 1));
      for (const who of [stopped, alive]) lives.set(who.id, await membership.join(db.sql, who, 60_000));
      await delay(5);
      assert.equal((await membership.endExpired(db.sql, alive.id)).length, 2);
      for (const { id } of [lost, stopped]) await db.transaction((sql) => membership.leave(sql, id));
      assert.deepEqual(await membership.survivors(db.sql), new Set([lives.get(lost.id)]));
    });

    it("lets one of them publish, and the next one when that has ended", async () => {
      await using db = await withRuns(0);
      const [a, b] = [member(), member()];
      for (const who of [a, b]) await membership.join(db.sql, who, 60_000);
      const hold = (id: string) => membership.holdPublisher(db.sql, id);
      assert.deepEqual([await hold(a.id), await hold(b.id), await hold(a.id)], [1, undefined, 1]);
      await db.transaction((sql) => membership.leave(sql, a.id));
      assert.deepEqual([await hold(a.id), await hold(b.id)], [undefined, 2]);
    });
  });
});

describe("several PostgreSQL servers", { skip, timeout: 120_000 }, () => {
  it("are used through a restart, and after a failover the one that takes writes", async () => {
    await using primary = await PostgresServer.start();
    await using standby = await primary.standby();
    // The standby first: it takes no writes.
    await using db = new Database(parsePostgresUrl(standby.url("postgres", [primary]), {}), { log: LOG, size: 2 });
    await db.query("CREATE TABLE t (a integer)");
    await db.query("INSERT INTO t VALUES (1)");
    await primary.kill();
    const second = db.query("INSERT INTO t VALUES (2)");
    await primary.start();
    await second;
    await primary.kill();
    const third = db.transaction(async (sql) => {
      await sql("INSERT INTO t VALUES ($1)", [3]);
    });
    await standby.promote();
    await third;
    assert.deepEqual(await standby.query("SELECT a FROM t ORDER BY a"), ["1", "2", "3"]);
  });
});
