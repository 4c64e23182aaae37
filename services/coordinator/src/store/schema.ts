/**
 * The tables of the run store. A migration is never changed once it is released: new ones are added
 * after it. `user_version` counts those applied to a file.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE coordinator (one INTEGER PRIMARY KEY CHECK (one = 1), life INTEGER NOT NULL) STRICT;
  INSERT INTO coordinator VALUES (1, 0);

  -- run: gradpool.v1.Run. state: for people who look into the file.
  CREATE TABLE runs (number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, run BLOB NOT NULL) STRICT;

  -- What happened to runs. entry: gradpool.v1.WatchRunResponse. step: of a step's metrics, else NULL.
  CREATE TABLE history (position INTEGER PRIMARY KEY, run_id TEXT NOT NULL, step INTEGER, entry BLOB NOT NULL) STRICT;
  CREATE INDEX history_of_run ON history (run_id, position);

  CREATE TABLE requests (number INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, content TEXT NOT NULL, subject TEXT NOT NULL) STRICT;
  CREATE TABLE drained_trainers (trainer_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  `,
  `
  -- published, stream: up to where events are in a JetStream stream, and when that was made.
  CREATE TABLE event_log (one INTEGER PRIMARY KEY CHECK (one = 1), log_id TEXT NOT NULL, published INTEGER NOT NULL, stream TEXT NOT NULL) STRICT;
  INSERT INTO event_log VALUES (1, lower(hex(randomblob(8))), 0, '');

  -- event: gradpool.v1.Event. The newest ones, and those that wait to be published.
  CREATE TABLE events (position INTEGER PRIMARY KEY, event BLOB NOT NULL) STRICT;

  -- Of each run: how many events there are, and the last step, evaluation and checkpoint that they reported.
  CREATE TABLE told (run_id TEXT PRIMARY KEY, events INTEGER NOT NULL, step INTEGER NOT NULL, evaluation INTEGER NOT NULL, checkpoint INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- entry: gradpool.v1.RunLogEntry.
  CREATE TABLE run_log (run_id TEXT NOT NULL, number INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (run_id, number)) STRICT, WITHOUT ROWID;
  `,
  // See checked-tables.ts.
  [...["coordinator", "runs", "history", "requests", "drained_trainers"], ...["event_log", "events", "told", "run_log"]]
    .map((table) => `ALTER TABLE ${table} ADD COLUMN checksum BLOB NOT NULL DEFAULT x'';`)
    .join("\n"),
];

/** The migration after which rows have checksums. */
export const CHECKED_VERSION = 3;
