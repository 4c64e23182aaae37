import type { Logger } from "@gradpool/service-kit";
import { isPostgresUrl, parsePostgresUrl, type PostgresAddress, type PostgresVariables } from "./postgres/address.js";
import { PostgresRunStore, type PostgresStoreOptions } from "./postgres/postgres-run-store.js";
import type { RunStore } from "./run-store.js";
import { SqliteRunStore } from "./sqlite-run-store.js";

/** Where runs are recorded: in a SQLite file, or in PostgreSQL. */
export type RunStorePlace = string | PostgresAddress;

/** The place that a setting names: a file, or a postgres:// URL. Errors: `invalid_argument`, without the password. */
export function runStorePlace(setting: string, env: PostgresVariables): RunStorePlace {
  return isPostgresUrl(setting) ? parsePostgresUrl(setting, env) : setting;
}

/** Undefined: in memory. Errors: those of SqliteRunStore.open and PostgresRunStore.open. */
export function openRunStore(
  place: RunStorePlace | undefined,
  log: Logger,
  options: PostgresStoreOptions = {},
): Promise<RunStore> {
  return typeof place === "object" ? PostgresRunStore.open(place, log, options) : SqliteRunStore.open(place, log);
}
