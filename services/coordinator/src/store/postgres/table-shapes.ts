import { checksumOf, type Value } from "../checksum.js";

/** Of each table the columns that order its rows, and those that the checksum covers: what the server itself gives or changes is not. */
export const SHAPES = {
  runs: { key: ["number"], summed: ["run_id", "state", "output_key", "run"] },
  history: { key: ["run_id", "position"], summed: ["run_id", "step", "entry"] },
  requests: { key: ["number"], summed: ["request_id", "content", "subject"] },
  drained_trainers: { key: ["trainer_id"], summed: ["trainer_id"] },
  events: { key: ["position"], summed: ["event"] },
  reported: { key: ["run_id"], summed: ["run_id", "events", "step", "evaluation", "checkpoint"] },
  run_log: { key: ["run_id", "number"], summed: ["run_id", "entry"] },
} as const satisfies Record<string, { key: readonly string[]; summed: readonly string[] }>;

export type PostgresTable = keyof typeof SHAPES;

export const POSTGRES_TABLES = Object.keys(SHAPES) as PostgresTable[];

export const rowChecksum = (table: PostgresTable, row: Readonly<Record<string, unknown>>): Buffer =>
  checksumOf(
    table,
    SHAPES[table].summed.map((column) => row[column] as Value),
  );
