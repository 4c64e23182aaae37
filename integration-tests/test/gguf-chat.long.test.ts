/**
 * Chats with a real instruct model, through the command line, compared with transformers' results
 * (fixtures/smollm2/make_chat.py): the template's text and ids, the answers, and the loss over the tokens that count.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { findSmolLM2, gradpool, Workspace } from "@gradpool/integration-tests";

interface Chat {
  messages: { role: string; content: string }[];
  text: string;
  ids: number[];
  answer: number[];
}

interface Reference {
  chats: Chat[];
  losses: Record<"chats" | "completions", { tokens: number; loss: number }>;
}

const FIXTURES = fileURLToPath(new URL("../../fixtures/smollm2/", import.meta.url));
const reference = JSON.parse(readFileSync(`${FIXTURES}chat.json`, "utf8")) as Reference;

/** Tolerance for a real model's losses. */
const RELATIVE_LOSS = 1e-3;

const model = findSmolLM2();
describe("chats with SmolLM2-135M-Instruct", { skip: model.missing }, () => {
  let workspace: Workspace;
  before(async () => {
    workspace = await Workspace.create();
  });
  after(() => workspace[Symbol.asyncDispose]());

  const document = async (...argv: string[]): Promise<Record<string, unknown>> => {
    const [command = "", ...rest] = argv;
    const { code, stdout, stderr } = await gradpool(
      [command, "--model_id", model.path, ...rest, "--json"],
      workspace.path("home"),
    );
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  for (const [index, chat] of reference.chats.entries()) {
    test(`chat ${index}: the template's text and ids, and the greedy answer`, async () => {
      const file = workspace.path(`chat-${index}.json`);
      await writeFile(file, JSON.stringify(chat.messages));
      const { prompt, tokens } = await document("sample", "--messages", file, "--max_new_tokens", "32");
      assert.equal(prompt, chat.text);
      assert.deepEqual(tokens, { prompt: chat.ids, completion: chat.answer });
    });
  }

  test("--chat and --system make the same chat", async () => {
    const [, chat] = reference.chats;
    const [system, user] = chat?.messages ?? [];
    const argv = [
      "--chat",
      "--system",
      system?.content ?? "",
      "--prompt",
      user?.content ?? "",
      "--max_new_tokens",
      "1",
    ];
    const { tokens } = await document("sample", ...argv);
    assert.deepEqual(tokens, { prompt: chat?.ids, completion: chat?.answer.slice(0, 1) });
  });

  const columns = {
    chats: ["--messages_column", "messages"],
    completions: ["--prompt_column", "prompt", "--completion_column", "completion"],
  };
  for (const name of ["chats", "completions"] as const) {
    test(`gradpool eval counts the same tokens of ${name} as transformers`, async () => {
      const wanted = reference.losses[name];
      const { tokens, loss } = await document("eval", "--dataset", `${FIXTURES}${name}.jsonl`, ...columns[name]);
      assert.equal(tokens, wanted.tokens);
      assert.ok(Math.abs((loss as number) / wanted.loss - 1) <= RELATIVE_LOSS, `${String(loss)}, ${wanted.loss}`);
    });
  }
});
