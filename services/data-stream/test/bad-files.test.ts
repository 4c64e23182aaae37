/** Files and templates that take too long or too much: their calls fail, and the others do not notice. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { DatasetSpec } from "@gradpool/rpc";
import { collect, numbered, onStage, SPEC, streamOf, textsOf, type Stage } from "./helpers.js";

const BOUNDS = { heapMb: 512, stuckMs: 1_000 };

/** Within the template's own limits, but for seconds. */
const LONG = "{% for a in range(4000) %}{% for b in range(4000) %}{% endfor %}{% endfor %}";
const LARGE =
  "{% set ns = namespace(all=[]) %}{% for a in range(90000) %}{% set ns.all = [ns.all, range(40) | list] %}{% endfor %}";

async function chats({ folder, tokenizer }: Stage, template: string): Promise<DatasetSpec> {
  tokenizer.chatTemplate = { template, toolTemplate: undefined, specialTokens: {} };
  const path = join(folder, "chats.jsonl");
  const messages = [
    { role: "user", content: "q" },
    { role: "assistant", content: "a" },
  ];
  await writeFile(path, `${JSON.stringify({ messages })}\n`.repeat(3));
  return { ...SPEC, sources: [path], messagesColumn: "messages" };
}

describe("a chat template", () => {
  for (const [what, template, bounds, says] of [
    ["takes too long", LONG, BOUNDS, /chats\.jsonl took more than 1 s at a stretch and was stopped/],
    [
      "fills the memory",
      LARGE,
      { heapMb: 64, stuckMs: 60_000 },
      /chats\.jsonl took more than 64 MiB of memory and was stopped/,
    ],
  ] as const) {
    it(`that ${what} fails its stream, and another continues`, () =>
      onStage(async (stage) => {
        const { client, dataset } = stage;
        const bad = streamOf(client, { dataset: await chats(stage, template) });
        const failed = assert.rejects(bad, { code: "failed_precondition", message: says });
        const texts = numbered(500);
        const good = await dataset(texts);
        for (let times = 0; times < 3; times++)
          assert.deepEqual(textsOf(await streamOf(client, { dataset: good })), texts);
        await failed;
        assert.deepEqual(textsOf(await streamOf(client, { dataset: good })), texts);
      }, bounds));
  }

  it("fails the look at the first rows, too", () =>
    onStage(async (stage) => {
      const dataset = await chats(stage, LONG);
      const looking = collect(stage.client.describeDataset({ dataset, checkRows: true }));
      await assert.rejects(looking, { code: "failed_precondition", message: /chats\.jsonl took more than 1 s/ });
    }, BOUNDS));

  it("does not outlive the call that it is rendered for", () =>
    onStage(async (stage) => {
      const leaving = new AbortController();
      const dataset = await chats(stage, LONG);
      const call = stage.client.openStream({ dataset, epochs: 1, cursor: undefined }, { signal: leaving.signal });
      const ended = assert.rejects(collect(call), { code: "cancelled" });
      setTimeout(() => leaving.abort(), 200);
      await ended;
      // Its thread ends within a second: then nothing here computes any more.
      const isQuiet = async () => {
        const before = process.cpuUsage();
        await new Promise((resolve) => setTimeout(resolve, 200));
        const { user, system } = process.cpuUsage(before);
        return user + system < 100_000;
      };
      const giveUpAt = performance.now() + 10_000;
      while (!(await isQuiet())) assert.ok(performance.now() < giveUpAt, "the thread still runs");
    }));
});
