/**
 * A process that moves the runs of a SQLite file that no coordinator uses to an empty PostgreSQL, and writes how far it is as lines
 * of JSON. Arguments: the file. GRADPOOL_STORE: the URL, which may hold a password.
 */
import { GradpoolError } from "@gradpool/errors";
import { createLogger } from "@gradpool/service-kit";
import { onStoppedStore, say } from "./store-program.js";
import { isPostgresUrl, parsePostgresUrl, type PostgresAddress } from "./store/postgres/address.js";
import { Database } from "./store/postgres/database.js";
import { moveRuns } from "./store/postgres/move-runs.js";

/** How long PostgreSQL may be away. */
const PATIENCE_MS = 20_000;

/** Errors: `invalid_argument`. */
function target(): PostgresAddress {
  const { GRADPOOL_STORE: url = "", PGPASSWORD, PGPASSFILE } = process.env;
  if (isPostgresUrl(url)) return parsePostgresUrl(url, { PGPASSWORD, PGPASSFILE });
  const problem = "the target is not a postgres:// URL";
  throw new GradpoolError("invalid_argument", `${problem}; name the database to move the runs to`);
}

await onStoppedStore(async (source) => {
  const log = createLogger("migrate", { GRADPOOL_LOG_LEVEL: "silent" });
  await using database = new Database(target(), { log });
  await moveRuns(source, database, { patienceMs: PATIENCE_MS }, say);
});
