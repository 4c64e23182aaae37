import { isPostgresUrl, parsePostgresUrl, type PostgresAddress, type PostgresVariables } from "./postgres/address.js";

/** Where runs are recorded: in a SQLite file, or in PostgreSQL. */
export type RunStorePlace = string | PostgresAddress;

/** The place that a setting names: a file, or a postgres:// URL. Errors: `invalid_argument`, without the password. */
export function runStorePlace(setting: string, env: PostgresVariables): RunStorePlace {
  return isPostgresUrl(setting) ? parsePostgresUrl(setting, env) : setting;
}
