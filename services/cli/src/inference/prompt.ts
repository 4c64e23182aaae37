/** What the model continues: a text, or a chat up to the assistant's answer. */
import { createReadStream } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import { chatOptionsOf, chatTemplateOf, messagesOf, type Chat } from "@gradpool/data";
import { GradpoolError, parseJson } from "@gradpool/errors";
import { UsageError } from "../usage-error.js";
import type { AdaptedModel } from "./adapted-model.js";
import { encoderOf } from "./encoder.js";

/** More than any model has positions for. */
const MAX_PROMPT_BYTES = 16 << 20;

export interface PromptFlags {
  /** "-": standard input. */
  prompt?: string;
  /** The prompt is a user's message. */
  chat?: boolean;
  /** The system's message before it. */
  system?: string;
  /** JSON file with a list of messages, or an object with messages, tools and documents; "-": standard input. */
  messages?: string;
}

export type Prompt = { text: string } | Chat;

/** Errors: UsageError for flags that conflict; `invalid_argument` and `not_found` for what they name. */
export async function readPrompt(flags: PromptFlags, stdin: Readable, signal: AbortSignal): Promise<Prompt> {
  const { prompt, messages, chat = false, system } = flags;
  if ((prompt === undefined) === (messages === undefined)) {
    const [what, advice] =
      prompt === undefined ? ["is missing", "give it, or"] : ["is given twice", "leave it out, or"];
    throw new UsageError(`--prompt ${what}; ${advice} --messages`);
  }
  if (system !== undefined && (!chat || messages !== undefined)) {
    throw new UsageError("--system needs --chat and --prompt; in --messages, add a message with the role system");
  }
  if (messages !== undefined) return readChat(messages, stdin, signal);
  const text = prompt === "-" ? await readAll(stdin, "--prompt -: standard input", signal) : (prompt as string);
  if (!chat) return { text };
  const before = system === undefined ? [] : [{ role: "system", content: system }];
  return { messages: [...before, { role: "user", content: text }] };
}

async function readChat(path: string, stdin: Readable, signal: AbortSignal): Promise<Chat> {
  const where = path === "-" ? "--messages -: standard input" : `--messages: ${path}`;
  const text = await readAll(path === "-" ? stdin : createReadStream(path), where, signal);
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    const form = `a list such as [{"role": "user", "content": "…"}]`;
    throw new GradpoolError("invalid_argument", `${where} is not valid JSON; give ${form}`, { cause });
  }
  if (typeof value !== "object" || value === null || !("messages" in value)) {
    return { messages: messagesOf(value, "it", where) };
  }
  return { messages: messagesOf(value.messages, "messages", where), ...chatOptionsOf({ ...value }, where) };
}

async function readAll(stream: Readable, name: string, signal: AbortSignal): Promise<string> {
  const refuse = (problem: string) => new GradpoolError("invalid_argument", `${name} ${problem}`);
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of addAbortSignal(signal, stream) as AsyncIterable<Uint8Array>) {
      pieces.push(piece);
      sizeBytes += piece.byteLength;
      if (sizeBytes > MAX_PROMPT_BYTES) {
        throw refuse(`is longer than ${MAX_PROMPT_BYTES >> 20} MiB; shorten the prompt`);
      }
    }
  } catch (cause) {
    if (!(cause instanceof Error) || !("code" in cause) || !("syscall" in cause)) throw cause;
    throw new GradpoolError("not_found", `${name} cannot be read (${String(cause.code)}); check the path`, { cause });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
  } catch {
    throw refuse("is not UTF-8; convert it first");
  }
}

/**
 * A prompt's text and ids, as transformers' tokenizer or its apply_chat_template gives them. Errors:
 * `invalid_argument` when it leaves no position to continue at, or has a token without an embedding; those of the template.
 */
export async function encodePrompt(
  prompt: Prompt,
  { source, tokenizer, padRow }: AdaptedModel,
  signal: AbortSignal,
): Promise<{ text: string; ids: number[] }> {
  const { maxPositions, vocabSize } = source.model.description;
  const encoder = encoderOf(tokenizer);
  const isChat = "messages" in prompt;
  const text = isChat ? chatTemplateOf(encoder).prompt(prompt) : prompt.text;
  // A template has written the tokenizer's own ids itself.
  const [encoded = new Int32Array()] = await encoder.encode([text], 0, signal, { specialTokens: !isChat });
  // As GPT-2 was trained: a text begins after the end of another.
  const ids = encoded.length > 0 ? Array.from(encoded) : [tokenizer.info.eosId];
  if (ids.length >= maxPositions) {
    const problem = `the prompt has ${ids.length} tokens, and the model ${maxPositions} positions`;
    throw new GradpoolError("invalid_argument", `${problem}; shorten the prompt`);
  }
  if (ids.some((id) => id >= vocabSize + (padRow ? 1 : 0))) {
    const problem = `the prompt has the token ${tokenizer.info.padToken}, which this model does not know`;
    throw new GradpoolError("invalid_argument", `${problem}; leave it out`);
  }
  return { text, ids };
}
