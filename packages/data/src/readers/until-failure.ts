import type { Row } from "./reader.js";

/**
 * The rows of some records, together; the first record that fails does so after the rows before it: a reader that
 * wants only those never sees it.
 */
export function* untilFailure<T>(records: Iterable<T>, toRow: (record: T) => Row | undefined): Generator<Row[]> {
  const rows: Row[] = [];
  let failure: { error: unknown } | undefined;
  try {
    for (const record of records) {
      const row = toRow(record);
      if (row) rows.push(row);
    }
  } catch (error) {
    failure = { error };
  }
  if (rows.length > 0) yield rows;
  if (failure) throw failure.error;
}
