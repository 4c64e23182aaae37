import { GENERATION_CONFIG, readModelJson } from "./model-json.js";

/** As transformers reads them: a model for chats often has more than one token that ends a text. */
const FILES = [GENERATION_CONFIG, "config.json"];

/** The tokens that end a text: the tokenizer's eos, and the eos_token_id of the first file that has one. */
export async function endTokens(modelDir: string, eosId: number): Promise<ReadonlySet<number>> {
  for (const file of FILES) {
    const configured = (await readModelJson(modelDir, file))?.["eos_token_id"];
    const ids: unknown[] = Array.isArray(configured) ? configured : [configured];
    const known = ids.filter((id): id is number => typeof id === "number");
    if (known.length > 0) return new Set([eosId, ...known]);
  }
  return new Set([eosId]);
}
