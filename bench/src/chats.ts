/**
 * Seconds that 20 chats of 50, 200 and 400 messages take from messages to ids and masks, against transformers'
 * apply_chat_template(return_assistant_tokens_mask=True) on the same chats, in turn: rounds of both, the best of each.
 * The template has Qwen3's form, without {% generation %} here and with it there. PYTHON names the interpreter.
 * Prints one JSON line.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Dataset, microBatches, type DataRecipe, type Encoder } from "@gradpool/data";
import { checkedRecipe, defaultRecipe } from "@gradpool/recipe";
import { loadTokenizer } from "@gradpool/tokenizers";
import { PYTHON, pythonScript, runForJson } from "./child.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const TEMPLATES = join(ROOT, "packages/data/test/fixtures/chat-templates");
const ROUNDS = 3;
const CHATS = 20;

const folder = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
try {
  await cp(join(ROOT, "packages/tokenizers/test/fixtures/qwen2"), folder, { recursive: true });
  const template = await readFile(join(TEMPLATES, "thinking-tools.jinja"), "utf8");
  const training = join(TEMPLATES, "thinking-tools.training.jinja");
  await writeFile(join(folder, "chat_template.jinja"), template);
  const tokenizer = await loadTokenizer(folder, "");
  const { eosId, padId, chatTemplate } = tokenizer.info;
  const encoder: Encoder = {
    ...{ eosId, padId, chatTemplate },
    encode: (texts, maxTokens, _signal, { specialTokens }) =>
      Promise.resolve(texts.map((text) => tokenizer.encode(text, { maxTokens, noSpecialTokens: !specialTokens }))),
  };
  for (const messages of [50, 200, 400]) {
    const path = join(folder, `chats-${messages}.jsonl`);
    await writeFile(path, Array.from({ length: CHATS }, (_, chat) => chatLine(chat, messages)).join(""));
    const own: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      own.push(await secondsOf(path, encoder));
      theirs.push(await runForJson<number>(PYTHON, [pythonScript("chats.py"), folder, training, path]));
    }
    const [best, theirBest] = [Math.min(...own), Math.min(...theirs)];
    console.log(JSON.stringify({ messages, seconds: best, transformers: theirBest, ratio: best / theirBest }));
  }
  tokenizer.free();
} finally {
  await rm(folder, { recursive: true, force: true });
}

function chatLine(chat: number, length: number): string {
  const messages = Array.from({ length }, (_, index) => ({
    role: index % 2 === 0 ? "user" : "assistant",
    content: `Message ${index} of chat ${chat}. ${"Some words that a person might say, and a number: 42.\n".repeat(3)}`,
  }));
  return `${JSON.stringify({ messages })}\n`;
}

async function secondsOf(path: string, encoder: Encoder): Promise<number> {
  const values = { ...defaultRecipe(), messagesColumn: "messages", maxLength: 100_000, batchSize: 1 };
  const recipe: DataRecipe = { ...checkedRecipe(values), maxRows: 0 };
  const { signal } = new AbortController();
  const start = performance.now();
  let rows = 0;
  for await (const { lengths } of microBatches(await Dataset.open([path], signal), recipe, encoder, {
    epochs: 1,
    signal,
  })) {
    rows += lengths.length;
  }
  if (rows !== CHATS) throw new Error(`${rows} rows`);
  return (performance.now() - start) / 1000;
}
