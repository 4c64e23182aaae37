/**
 * The tables of the run store. A migration is never changed once it is released: a new one is added
 * behind it. `user_version` counts those that a file has had.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE coordinator (one INTEGER PRIMARY KEY CHECK (one = 1), life INTEGER NOT NULL) STRICT;
  INSERT INTO coordinator VALUES (1, 0);

  -- run: gradpool.v1.Run. state: for whoever looks into the file.
  CREATE TABLE runs (number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, run BLOB NOT NULL) STRICT;

  -- What happened to runs. entry: gradpool.v1.WatchRunResponse. step: of a step's metrics, else NULL.
  CREATE TABLE history (position INTEGER PRIMARY KEY, run_id TEXT NOT NULL, step INTEGER, entry BLOB NOT NULL) STRICT;
  CREATE INDEX history_of_run ON history (run_id, position);

  CREATE TABLE requests (number INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, content TEXT NOT NULL, subject TEXT NOT NULL) STRICT;
  CREATE TABLE drained_trainers (trainer_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  `,
];
