import type { OpenFile, Place, Row, RowReader, SourceFile } from "./reader.js";

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
  async *rows(_file: OpenFile, from: Place): AsyncGenerator<Row[]> {
    let byteOffset = 0;
    for (const text of SAMPLES) {
      const start = { byteOffset, line: 1 };
      byteOffset += Buffer.byteLength(text);
      if (start.byteOffset >= from.byteOffset) yield [{ text, start, end: { byteOffset, line: 1 } }];
    }
  },
};

export const SYNTHETIC_SOURCE: SourceFile = {
  name: "synthetic",
  path: "",
  sizeBytes: Buffer.byteLength(SAMPLES.join("")),
  mtimeNs: 0n,
  reader: syntheticReader,
};
