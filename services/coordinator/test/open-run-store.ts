/** Run stores of both engines, opened by a coordinator that has them to itself. */
import type { Logger } from "@gradpool/service-kit";
import { PostgresRunStore } from "../src/store/postgres/postgres-run-store.js";
import { runStorePlace } from "../src/store/run-store-place.js";
import type { RunStore } from "../src/store/run-store.js";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";
import { SoleMember } from "./sole-member.js";

/** `setting`: a file, or a postgres:// URL. Errors: those of the engines' own `open` and of SoleMember.join. */
export function openRunStore(setting: string, log: Logger, options: { leaseMs?: number } = {}): Promise<RunStore> {
  const place = runStorePlace(setting, {});
  if (typeof place !== "object") return SqliteRunStore.open(place, log);
  return PostgresRunStore.open(place, log, (database) => SoleMember.join(database, options.leaseMs));
}
