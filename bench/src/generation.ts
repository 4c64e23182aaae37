/**
 * The time of a token in greedy decoding, after texts of several lengths, against transformers' generate with its
 * cache: GPT-2 small shapes, float32, two threads, in turn, since ratios within one run are reliable on machines that are
 * shared. PYTHON names an interpreter that has torch and transformers (default: python3).
 */
import { parseArgs } from "node:util";
import { openModel } from "@gradpool/model-source";
import { KeyValueCache, LogitsSession } from "@gradpool/runtime";
import { PYTHON, pythonScript, runForJson } from "./child.js";
import { gpt2SmallFolder } from "./gpt2-small.js";
import { median } from "./rounds.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    lengths: { type: "string", default: "64,512,992" },
    new: { type: "string", default: "32" },
  },
});
const [newTokens, threads] = [Number(values.new), 2];

interface Figures {
  tokens: number[];
  median_ms: number;
  least_ms: number;
}

const model = await gpt2SmallFolder();
const source = await openModel(model);
const { vocabSize } = source.model.description;
await using session = await LogitsSession.create({ source, targets: [], padRow: false }, { threads });

const mostLikely = (logits: Float32Array) => logits.reduce((best, logit, i) => (logit > logits[best]! ? i : best), 0);

async function gradpool(promptTokens: number): Promise<Figures> {
  const cache = new KeyValueCache();
  const prompt = Array.from({ length: promptTokens }, (_, i) => (i * 7919) % vocabSize);
  const tokens = [mostLikely(await session.next(cache, prompt))];
  const times: number[] = [];
  while (tokens.length < newTokens) {
    const begin = performance.now();
    tokens.push(mostLikely(await session.next(cache, tokens.slice(-1))));
    times.push(performance.now() - begin);
  }
  return { tokens, median_ms: median(times), least_ms: Math.min(...times) };
}

function transformers(promptTokens: number): Promise<Figures> {
  const sizes = ["--prompt-tokens", String(promptTokens), "--new-tokens", String(newTokens)];
  const flags = ["--model", model, ...sizes, "--threads", String(threads)];
  return runForJson<Figures>(PYTHON, [pythonScript("generate.py"), ...flags]);
}

const shown = ({ median_ms, least_ms }: Figures) => `${median_ms.toFixed(1)} ms (least ${least_ms.toFixed(1)})`;

for (const length of values.lengths.split(",").map(Number)) {
  const ratios: number[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const theirs = await transformers(length);
    const ours = await gradpool(length);
    ratios.push(theirs.median_ms / ours.median_ms);
    const other = ours.tokens.findIndex((id, i) => id !== theirs.tokens[i]);
    const same = other < 0 ? "the same tokens" : `other tokens from ${other} on`;
    console.log(`${length} positions: a token of transformers ${shown(theirs)}, of gradpool ${shown(ours)}, ${same}`);
  }
  console.log(`${length} positions: speed ${median(ratios).toFixed(2)} × transformers`);
}
