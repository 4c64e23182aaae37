/** A process that looks at a run store, or a copy of one, while no coordinator uses it, and writes what it finds as lines of JSON. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { SqliteDatabase, type CheckPlace } from "./store/sqlite-database.js";
import { lockStore } from "./store/store-lock.js";

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Errors: `not_found`, and those of lockStore and SqliteDatabase. */
function verify(path: string): void {
  if (!existsSync(path)) throw new GradpoolError("not_found", `there is no file ${path}; name a run store or a copy`);
  const unlock = lockStore(path);
  try {
    const database = new SqliteDatabase(path, { readOnly: true });
    try {
      let place: CheckPlace | undefined = {};
      while (place) {
        const { next, ...checked }: ReturnType<SqliteDatabase["check"]> = database.check(place);
        say(checked);
        place = next;
      }
    } finally {
      database.close();
    }
  } finally {
    unlock();
  }
}

try {
  verify(resolve(process.argv[2] ?? ""));
} catch (reason) {
  const { code, message } = GradpoolError.from(reason);
  say({ code, message });
  process.exitCode = 1;
}
