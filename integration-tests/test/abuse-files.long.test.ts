/**
 * Files that others made, one row for each weakness: what reads them is bounded, their run fails with a line that says what to do,
 * and an honest run beside it is not disturbed.
 */
import assert from "node:assert/strict";
import { cp, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RunState, type RunSpec } from "@gradpool/rpc";
import { HonestRun } from "../src/honest-run.js";
import { LocalPool, tinyRun, TINY_CODER, watchRun, Workspace } from "../src/index.js";

/** Within the limits of a template, which are per rendering; 200 rows are looked at. */
const LONG = "{% for a in range(4000) %}{% for b in range(4000) %}{% endfor %}{% endfor %}";

describe("files of others", { timeout: 400_000 }, () => {
  let workspace: Workspace;
  let pool: LocalPool;
  let data: string;
  let honest: HonestRun;
  let attempts = 0;

  before(async () => {
    workspace = await Workspace.create();
    data = await workspace.dataset(80);
    pool = await LocalPool.start(workspace.path("home"), ["--trainers", "1", "--threads", "1"]);
    honest = await HonestRun.start(pool, workspace);
  });

  after(async () => {
    await honest[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  async function copy(name: string): Promise<string> {
    const folder = workspace.path(name);
    await cp(TINY_CODER, folder, { recursive: true });
    return folder;
  }

  /** A model with a header of 79 MB, whose reading takes seconds. */
  async function largeHeader(): Promise<string> {
    const folder = await copy("header");
    const entries = Array.from({ length: 900_000 }, (_, i) => {
      return `"transformer.h.${i}.weight":{"dtype":"F32","shape":[1],"data_offsets":[${4 * i},${4 * i + 4}]}`;
    });
    const json = Buffer.from(`{${entries.join(",")}}`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.byteLength));
    await using file = await open(join(folder, "model.safetensors"), "w");
    await file.write(Buffer.concat([length, json]));
    await file.truncate(8 + json.byteLength + 4 * entries.length);
    return folder;
  }

  async function costlyPattern(): Promise<string> {
    const folder = await copy("pattern");
    const path = join(folder, "tokenizer.json");
    const root = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    const pattern = { Regex: `${"a?".repeat(30)}${"a".repeat(30)}` };
    const split = { type: "Split", pattern, behavior: "Isolated", invert: false };
    const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
    root["pre_tokenizer"] = { type: "Sequence", pretokenizers: [split, bytes] };
    await writeFile(path, JSON.stringify(root));
    return folder;
  }

  async function longTemplate(): Promise<string> {
    const folder = await copy("template");
    await writeFile(join(folder, "chat_template.jinja"), LONG);
    return folder;
  }

  async function chats(): Promise<string> {
    const path = workspace.path("chats.jsonl");
    const messages = Array.from({ length: 8 }, (_, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content: "x" }));
    await writeFile(path, `${JSON.stringify({ messages })}\n`.repeat(20));
    return path;
  }

  const ROWS: { weakness: string; spec: () => Promise<Partial<RunSpec>>; says: RegExp; recipe?: object }[] = [
    {
      weakness: "a model with a header of 79 MB",
      spec: async () => ({ modelId: await largeHeader() }),
      // It is stopped, or read and found to be no model of this kind: that depends on the machine.
      says: /stretch|weights|config|model|tensor/,
    },
    {
      weakness: "a tokenizer with a costly pattern",
      spec: async () => ({ modelId: await costlyPattern() }),
      says: /too many ways/,
    },
    {
      weakness: "a chat template that takes minutes",
      spec: async () => ({ modelId: await longTemplate(), dataset: [await chats()] }),
      says: /chats\.jsonl(:1)?.*(took more than 15 s at a stretch|takes more than \d+ steps)/,
      recipe: { messagesColumn: "messages" },
    },
  ];

  for (const { weakness, spec, says, recipe = {} } of ROWS) {
    test(weakness, async () => {
      const changes = await spec();
      let line = "";
      await honest.beside(async () => {
        const out = workspace.path(`out-${++attempts}`);
        const runId = await pool.submit({ ...tinyRun(data, out, recipe), ...changes });
        let slowestMs = 0;
        let hasEnded = false;
        const ended = watchRun(pool.runs, runId).finally(() => (hasEnded = true));
        while (!hasEnded) {
          const asked = performance.now();
          await honest.step();
          slowestMs = Math.max(slowestMs, performance.now() - asked);
          await delay(20);
        }
        const { run } = await ended;
        assert.equal(run.state, RunState.RUN_STATE_FAILED);
        assert.match(run.error?.message ?? "", says);
        // A lease is lost after ten.
        assert.ok(slowestMs < 5_000, `GetRun took ${slowestMs} ms`);
        line = `slowest GetRun ${Math.round(slowestMs)} ms; ${run.error?.message}`;
      });
      console.log(`${weakness}: ${line}`);
    });
  }
});
