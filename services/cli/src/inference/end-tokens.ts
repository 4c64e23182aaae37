import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError, parseJson } from "@gradpool/errors";

/** As transformers reads them: a model for chats often has more than one token that ends a text. */
const FILES = ["generation_config.json", "config.json"];

/** The tokens that end a text: the tokenizer's eos, and the eos_token_id of the first file that has one. */
export async function endTokens(modelDir: string, eosId: number): Promise<ReadonlySet<number>> {
  for (const file of FILES) {
    const configured = (await readObject(join(modelDir, file)))?.["eos_token_id"];
    const ids: unknown[] = Array.isArray(configured) ? configured : [configured];
    const known = ids.filter((id): id is number => typeof id === "number");
    if (known.length > 0) return new Set([eosId, ...known]);
  }
  return new Set([eosId]);
}

async function readObject(path: string): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    const value: unknown = parseJson(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (cause) {
    throw new GradpoolError("data_loss", `${path} is not valid JSON; get the model again`, { cause });
  }
}
