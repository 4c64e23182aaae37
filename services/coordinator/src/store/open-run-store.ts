import type { Logger } from "@gradpool/service-kit";
import { isPostgresUrl, parsePostgresUrl } from "./postgres/address.js";
import { PostgresRunStore, type PostgresStoreOptions } from "./postgres/postgres-run-store.js";
import type { RunStore } from "./run-store.js";
import { SqliteRunStore } from "./sqlite-run-store.js";

/** The run store at a postgres:// URL or in a file; undefined: in memory. Errors: those of opening either. */
export function openRunStore(
  place: string | undefined,
  log: Logger,
  options: PostgresStoreOptions = {},
): Promise<RunStore> {
  if (place === undefined || !isPostgresUrl(place)) return SqliteRunStore.open(place, log);
  return PostgresRunStore.open(parsePostgresUrl(place), log, options);
}
