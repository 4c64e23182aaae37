/** Reads a file while this process has as many open files as it may. */
import { openSync, writeSync } from "node:fs";
import { GradpoolError } from "@gradpool/errors";
import { localFile } from "../src/byte-source.js";

const path = process.argv[2] ?? "";
const file = await localFile(path);
const signal = new AbortController().signal;
// Loads what reading needs.
for await (const _ of file?.read({ start: 0, signal }) ?? []);
try {
  for (;;) openSync(path, "r");
} catch {
  // No further file can be opened.
}
try {
  for await (const _ of file?.read({ start: 0, signal }) ?? []);
} catch (reason) {
  const { code, message } = GradpoolError.from(reason);
  writeSync(1, `${code}: ${message}`);
}
