/** What the data-stream service counts; docs/metrics.md says how to use it. */
import type { MicroBatch } from "@gradpool/rpc";
import { MetricSet, type Registry } from "@gradpool/service-kit";

export class DataStreamMetrics {
  readonly #rows;
  readonly #tokens;
  readonly #microBatches;
  readonly #textBytes;
  readonly #countedRows;
  readonly #countedBytes;

  constructor(registry: Registry) {
    const set = new MetricSet(registry);
    this.#rows = set.counter("gradpool_data_rows_total", "Rows (when packing: blocks) sent in micro-batches.");
    this.#tokens = set.counter("gradpool_data_tokens_total", "Tokens sent in micro-batches, without padding.");
    this.#microBatches = set.counter("gradpool_data_micro_batches_total", "Micro-batches sent.");
    this.#textBytes = set.counter("gradpool_data_text_bytes_total", "Bytes of text read and encoded.");
    this.#countedRows = set.counter("gradpool_data_counted_rows_total", "Rows read to count data sets.");
    this.#countedBytes = set.counter("gradpool_data_counted_bytes_total", "Bytes of files read to count data sets.");
  }

  sent({ rows, lengths }: MicroBatch): void {
    this.#microBatches.inc();
    this.#rows.inc(rows);
    this.#tokens.inc(lengths.reduce((sum, length) => sum + length, 0));
  }

  counted(rows: number, bytes: number): void {
    this.#countedRows.inc(Math.max(0, rows));
    this.#countedBytes.inc(Math.max(0, bytes));
  }

  encoded(texts: readonly string[]): void {
    this.#textBytes.inc(texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
  }
}
