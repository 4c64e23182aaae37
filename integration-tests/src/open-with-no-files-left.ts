/** Opens a model and a tokenizer while this process has as many open files as it may; prints how each ends. */
import { openSync, writeSync } from "node:fs";
import { GradpoolError, isTooManyOpenFiles } from "@gradpool/errors";
import { openModel } from "@gradpool/model-source";
import { loadTokenizer } from "@gradpool/tokenizers";

const [, , folder = "", gguf = ""] = process.argv;
const OPENED: Record<string, () => Promise<unknown>> = {
  model: () => openModel(folder),
  gguf: () => openModel(gguf),
  tokenizer: () => loadTokenizer(folder, ""),
};
// Loads what opening needs.
for (const open of Object.values(OPENED)) await open().catch(() => {});
try {
  for (;;) openSync(process.argv[1] ?? "", "r");
} catch {
  // No further file can be opened.
}
for (const [what, open] of Object.entries(OPENED)) {
  const error = await open().then(
    () => undefined,
    (reason: unknown) => GradpoolError.from(reason),
  );
  writeSync(1, `${what}: ${isTooManyOpenFiles(error) ? "waits" : error?.message}\n`);
}
