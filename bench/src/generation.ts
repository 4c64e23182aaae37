/**
 * Tokens per second of greedy decoding, prompt included, against transformers' generate with its cache:
 * GPT-2 small shapes, float32, two threads, in turn, since ratios inside one run hold where machines are
 * shared. PYTHON names an interpreter that has torch and transformers (default: python3).
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { openModel } from "@gradpool/model-source";
import { KeyValueCache, LogitsSession } from "@gradpool/runtime";
import { gpt2SmallFolder } from "./gpt2-small.js";

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    prompt: { type: "string", default: "64" },
    new: { type: "string", default: "128" },
  },
});
const [promptTokens, newTokens, threads] = [Number(values.prompt), Number(values.new), 2];

interface Figures {
  tokens: number[];
  tokens_per_second: number;
}

const model = await gpt2SmallFolder();
const source = await openModel(model);
const { vocabSize } = source.model.description;
const prompt = Array.from({ length: promptTokens }, (_, i) => (i * 7919) % vocabSize);
await using session = await LogitsSession.create({ source, targets: [], padRow: false }, { threads });

const mostLikely = (logits: Float32Array) => logits.reduce((best, logit, i) => (logit > logits[best]! ? i : best), 0);

async function gradpool(count: number): Promise<Figures> {
  const begin = performance.now();
  const cache = new KeyValueCache();
  const tokens: number[] = [];
  let unread = prompt;
  while (tokens.length < count) {
    unread = [mostLikely(await session.next(cache, unread))];
    tokens.push(...unread);
  }
  return { tokens, tokens_per_second: count / ((performance.now() - begin) / 1000) };
}

async function transformers(): Promise<Figures> {
  const script = fileURLToPath(new URL("../../generate.py", import.meta.url));
  const sizes = ["--prompt-tokens", String(promptTokens), "--new-tokens", String(newTokens)];
  const argv = [script, "--model", model, ...sizes, "--threads", String(threads)];
  const { stdout } = await run(process.env["PYTHON"] ?? "python3", argv, { maxBuffer: 1 << 24 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Figures;
}

await gradpool(4);
const ratios: number[] = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  const theirs = await transformers();
  const ours = await gradpool(newTokens);
  ratios.push(ours.tokens_per_second / theirs.tokens_per_second);
  const same = ours.tokens.findIndex((id, i) => id !== theirs.tokens[i]);
  console.log(
    `${String(round).padStart(2)} transformers ${theirs.tokens_per_second.toFixed(1)} tokens/s, gradpool ` +
      `${ours.tokens_per_second.toFixed(1)} tokens/s, ${same < 0 ? "the same tokens" : `other tokens from ${same} on`}`,
  );
}
const sorted = [...ratios].sort((a, b) => a - b);
const rounds = ratios.map((ratio) => ratio.toFixed(2)).join(", ");
console.log(`speed ${(sorted[sorted.length >> 1] ?? NaN).toFixed(2)} × transformers  (rounds: ${rounds})`);
