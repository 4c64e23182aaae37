/** What programs have in common that look into the file of a run store while no coordinator uses it, and write lines of JSON. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { SqliteDatabase } from "./store/sqlite-database.js";
import { lockStore } from "./store/store-lock.js";

export const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);

/**
 * Does `work` with the store that the first argument names, which nobody uses meanwhile. Its last line is its error, if it fails:
 * `not_found`, and those of lockStore, SqliteDatabase and `work`.
 */
export async function onStoppedStore(work: (store: SqliteDatabase) => Promise<void> | void): Promise<void> {
  const path = resolve(process.argv[2] ?? "");
  try {
    if (!existsSync(path)) throw new GradpoolError("not_found", `there is no file ${path}; name a run store or a copy`);
    const unlock = lockStore(path);
    try {
      const store = new SqliteDatabase(path, { readOnly: true });
      try {
        await work(store);
      } finally {
        store.close();
      }
    } finally {
      unlock();
    }
  } catch (reason) {
    const { code, message } = GradpoolError.from(reason);
    say({ code, message });
    process.exitCode = 1;
  }
}
