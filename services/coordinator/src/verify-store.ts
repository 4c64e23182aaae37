/** A process that looks at a run store, or a copy of one, while no coordinator uses it, and writes what it finds as lines of JSON. */
import { onStoppedStore, say } from "./store-program.js";
import type { CheckPlace, SqliteDatabase } from "./store/sqlite-database.js";

await onStoppedStore((store) => {
  let place: CheckPlace | undefined = {};
  while (place) {
    const { next, ...checked }: ReturnType<SqliteDatabase["check"]> = store.check(place);
    say(checked);
    place = next;
  }
});
