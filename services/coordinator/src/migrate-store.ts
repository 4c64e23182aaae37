/**
 * A process that moves the runs of a SQLite file that no coordinator uses to an empty PostgreSQL, and writes how far it is as lines
 * of JSON. Arguments: the file. GRADPOOL_STORE: the URL, which may hold a password.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { createLogger } from "@gradpool/service-kit";
import { Database } from "./store/postgres/database.js";
import { isPostgresUrl, parsePostgresUrl } from "./store/postgres/address.js";
import { moveRuns } from "./store/postgres/move-runs.js";
import { SqliteDatabase } from "./store/sqlite-database.js";
import { lockStore } from "./store/store-lock.js";

/** How long PostgreSQL may be away. */
const PATIENCE_MS = 20_000;

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Errors: `not_found`, and those of lockStore, SqliteDatabase and moveRuns. */
async function migrateStore(path: string, url: string): Promise<void> {
  if (!isPostgresUrl(url)) {
    throw new GradpoolError(
      "invalid_argument",
      "the target is not a postgres:// URL; name the database to move the runs to",
    );
  }
  const { PGPASSWORD, PGPASSFILE } = process.env;
  const address = parsePostgresUrl(url, { PGPASSWORD, PGPASSFILE });
  if (!existsSync(path)) throw new GradpoolError("not_found", `there is no file ${path}; name a run store or a copy`);
  const unlock = lockStore(path);
  try {
    const source = new SqliteDatabase(path, { readOnly: true });
    try {
      const log = createLogger("migrate", { GRADPOOL_LOG_LEVEL: "silent" });
      await using target = new Database(address, { log });
      await moveRuns(source, target, { patienceMs: PATIENCE_MS }, say);
    } finally {
      source.close();
    }
  } finally {
    unlock();
  }
}

try {
  await migrateStore(resolve(process.argv[2] ?? ""), process.env["GRADPOOL_STORE"] ?? "");
} catch (reason) {
  const { code, message } = GradpoolError.from(reason);
  say({ code, message });
  process.exitCode = 1;
}
