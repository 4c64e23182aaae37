/**
 * Templates of today's shapes render what apply_chat_template renders, and without {% generation %} the assistant's turns
 * are where TRL's training templates place them (fixtures/make_chat_templates.py).
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { GradpoolError } from "@gradpool/errors";
import { chatOptionsOf, ChatTemplate, messagesOf, type Chat } from "../src/index.js";
import { HfEncoder, streamOf, withFolder } from "./helpers.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));

interface Fixture {
  special: Record<string, string>;
  templates: Record<string, string>;
  chats: {
    messages: unknown;
    tools?: unknown;
    documents?: unknown;
    kwargs?: Record<string, unknown>;
    add_generation_prompt?: boolean;
  }[];
  cases: {
    template: string;
    chat: number;
    text?: string;
    error?: true;
    spans?: [number, number][];
    tokenizer?: string;
    ids?: number[];
    mask?: number[];
  }[];
}

const fixture = JSON.parse(await readFile(join(FIXTURES, "chat-templates.json"), "utf8")) as Fixture;

function chatOf({ messages, tools, documents, kwargs }: Fixture["chats"][number]): Chat {
  const row = { tools, documents, chat_template_kwargs: kwargs };
  return { messages: messagesOf(messages, "messages", "chat"), ...chatOptionsOf(row, "chat") };
}

/** What [start, end) of a text in code points say. */
const spanned = (text: string, spans: readonly (readonly [number, number])[]) =>
  spans.map(([start, end]) => [...text].slice(start, end).join(""));

describe("a chat", () => {
  assert.ok(fixture.cases.length >= 250);
  for (const { template, chat: index, text, error, spans } of fixture.cases) {
    it(`rendered by ${template}, ${index}`, () => {
      const source = { template: fixture.templates[template]!, specialTokens: fixture.special };
      const given = fixture.chats[index]!;
      const chat = chatOf(given);
      const render = () => {
        const template_ = new ChatTemplate(source);
        if (given.add_generation_prompt) return { text: template_.prompt(chat), spans: [] };
        return template_.render(chat);
      };
      if (error) return assert.throws(render, GradpoolError);
      const rendered = render();
      assert.equal(rendered.text, text);
      if (!spans || given.add_generation_prompt) return undefined;
      const found = rendered.spans.filter(({ start, end }) => end > start);
      const joined = merged(found).map(({ start, end }) => text!.slice(start, end));
      assert.equal(joined.join("|"), spanned(text!, touching(spans)).join("|"));
      const marked = { ...source, template: fixture.templates[`${template}.training`]! };
      assert.deepEqual(merged(new ChatTemplate(marked).render(chat).spans), merged(found));
      return undefined;
    });
  }
});

const touching = (spans: readonly [number, number][]) =>
  merged(spans.map(([start, end]) => ({ start, end }))).map(({ start, end }) => [start, end] as const);

/** Spans that touch are one. */
function merged(spans: readonly { start: number; end: number }[]): { start: number; end: number }[] {
  const all: { start: number; end: number }[] = [];
  for (const { start, end } of spans) {
    const last = all.at(-1);
    if (last?.end === start) last.end = end;
    else all.push({ start, end });
  }
  return all;
}

describe("ids and masks of whole rows", () => {
  const masked = fixture.cases.filter(
    ({ chat, mask }) => mask?.includes(1) && !fixture.chats[chat]!.add_generation_prompt,
  );
  assert.ok(masked.length >= 15);
  for (const { template, chat, tokenizer, ids, mask } of masked) {
    it(`are as by TRL's training template (${template}, ${chat})`, async () => {
      const encoder = new HfEncoder(tokenizer!, fixture.templates[template]!, fixture.special);
      const { kwargs, add_generation_prompt: _, ...row } = fixture.chats[chat]!;
      const line = `${JSON.stringify({ ...row, chat_template_kwargs: kwargs })}\n`;
      await withFolder({ "d.jsonl": line }, async (folder) => {
        const recipe = { messagesColumn: "messages", maxLength: 4000, batchSize: 1 };
        const [microBatch] = await streamOf([folder], recipe, {}, encoder);
        const length = microBatch!.lengths[0]!;
        assert.deepEqual(Array.from(microBatch!.ids.subarray(0, length)), ids);
        assert.deepEqual(Array.from(microBatch!.targetMask.subarray(0, length)), mask);
      });
    });
  }
});
