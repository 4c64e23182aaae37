import { contentOfText } from "../row-content.js";
import type { Place, ReadOptions, Row, RowReader, SourceFile } from "./reader.js";

const SAMPLES = [
  `def fibonacci(n):
    """Return the first n Fibonacci numbers."""
    numbers = []
    a, b = 0, 1
    for _ in range(n):
        numbers.append(a)
        a, b = b, a + b
    return numbers
`,
  `export function binarySearch(sorted: number[], wanted: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] === wanted) return middle;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
`,
];

/** Two short samples of code that need no file, for a first try. Offsets count as if one followed the other. */
const syntheticReader: RowReader = {
  async *rows(file: SourceFile, from: Place, { columns }: ReadOptions): AsyncGenerator<Row[]> {
    let byteOffset = 0;
    for (const text of SAMPLES) {
      const isBefore = byteOffset < from.byteOffset;
      byteOffset += Buffer.byteLength(text);
      if (isBefore) continue;
      const content = contentOfText(text, columns, file.name);
      const end = { byteOffset, innerOffset: 0, line: 1 };
      yield [{ content, line: 1, bytes: text.length, end, readBytes: byteOffset }];
    }
  },
  rowName: (fileName) => fileName,
};

export const SYNTHETIC_SOURCE: SourceFile = {
  name: "synthetic",
  source: {
    name: "synthetic",
    sizeBytes: Buffer.byteLength(SAMPLES.join("")),
    version: "0",
    async *read() {
      yield Buffer.from(SAMPLES.join(""));
    },
  },
  codec: "none",
  reader: syntheticReader,
};
