/** Bad input to `gradpool train` gets one clear line, a non-zero exit, and leaves nothing behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, cp, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { Golden, gradpool, Workspace } from "@gradpool/integration-tests";

const golden = new Golden("gpt2-plain");

interface Case {
  name: string;
  /** Changes the model folder or returns other flags. */
  arrange(model: string, workspace: Workspace): Promise<Record<string, string>>;
  message: RegExp;
  code?: number;
}

const CASES: Case[] = [
  {
    name: "a missing model folder",
    arrange: async (model) => ({ model_id: `${model}-gone` }),
    message: /does not exist; give a folder/,
  },
  {
    name: "an unsupported architecture, named with those supported",
    arrange: async (model) => {
      const config = JSON.parse(await readFile(`${model}/config.json`, "utf8")) as object;
      await writeFile(`${model}/config.json`, JSON.stringify({ ...config, model_type: "t5" }));
      return {};
    },
    message: /"t5" is not supported; supported: .*gpt2/,
  },
  {
    name: "truncated weights",
    arrange: async (model) => {
      await truncate(`${model}/model.safetensors`, 100_000);
      return {};
    },
    message: /damaged/,
  },
  {
    name: "weights with a false header",
    arrange: async (model) => {
      const bytes = await readFile(`${model}/model.safetensors`);
      bytes.writeBigUInt64LE(BigInt(bytes.length) * 2n);
      await writeFile(`${model}/model.safetensors`, bytes);
      return {};
    },
    message: /header claims/,
  },
  {
    name: "a tokenizer with more tokens than the embedding has rows",
    arrange: async (model) => {
      const big = new Golden("gpt2-codeparrot");
      await cp(`${big.modelDir}/tokenizer.json`, `${model}/tokenizer.json`);
      return {};
    },
    message: /520 tokens.*512|tokenizer.*embedding/,
  },
  {
    name: "an empty data set",
    arrange: async (_, workspace) => {
      await writeFile(workspace.path("empty.jsonl"), "");
      return { dataset: workspace.path("empty.jsonl") };
    },
    message: /no rows|empty/,
  },
  {
    name: "a data set that is not there",
    arrange: async (_, workspace) => ({ dataset: workspace.path("nowhere.jsonl") }),
    message: /nowhere\.jsonl/,
  },
  {
    name: "a missing text column, listing those there are",
    arrange: async () => ({ text_column: "text" }),
    message: /text.*content/,
  },
  {
    name: "target_modules that match nothing, listing what exists",
    arrange: async () => ({ target_modules: "q_proj" }),
    message: /q_proj.*attn\.c_attn/,
  },
  {
    name: "max_length beyond the model's positions",
    arrange: async () => ({ max_length: "129" }),
    message: /129.*128 positions/,
  },
  {
    name: "rows whose prompts leave no room for a target",
    arrange: async (_, workspace) => {
      const row = JSON.stringify({ p: "a long prompt, and then some more of it to be sure", c: "answer" });
      await writeFile(workspace.path("prompted.jsonl"), `${row}\n`.repeat(40));
      const columns = { prompt_column: "p", completion_column: "c", max_length: "16" };
      return { dataset: workspace.path("prompted.jsonl"), ...columns };
    },
    message: /: none of the 40 rows has a target within --max_length 16: the prompts are longer; raise --max_length/,
  },
  {
    name: "a chat that the template refuses, with file and line",
    arrange: async (model, workspace) => {
      await writeFile(`${model}/chat_template.jinja`, "{% for m in messages %}{{ m.content + '' }}{% endfor %}");
      const row = (content: unknown) => JSON.stringify({ messages: [{ role: "assistant", content }] });
      await writeFile(workspace.path("chats.jsonl"), `${row("fine")}\n\n${row([{ type: "text" }])}\n`);
      return { dataset: workspace.path("chats.jsonl"), messages_column: "messages" };
    },
    message: /chats\.jsonl:3: the chat template refuses the messages/,
  },
  {
    name: "a recipe out of bounds",
    arrange: async () => ({ lora_dropout: "1" }),
    message: /lora_dropout/,
    code: 2,
  },
  {
    name: "an unknown flag, with the near one",
    arrange: async () => ({ learning_rte: "1e-3" }),
    message: /learning_rate/,
    code: 2,
  },
];

describe("gradpool train", () => {
  for (const { name, arrange, message, code = 1 } of CASES) {
    test(name, async () => {
      await using workspace = await Workspace.create();
      const model = workspace.path("model");
      await cp(golden.modelDir, model, { recursive: true });
      const outputDir = workspace.path("out");
      const changes = await arrange(model, workspace);
      const flags = { model_id: model, dataset: golden.dataFile, output_dir: outputDir, max_length: "64", ...changes };
      const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
      const result = await gradpool(["train", ...args], workspace.path("home"));

      const errors = result.stderr.split("\n").filter((line) => line.startsWith("gradpool: "));
      assert.equal(errors.length, 1, `one line, not: ${result.stderr}`);
      assert.match(errors[0] ?? "", message);
      assert.doesNotMatch(result.stderr, /^\s+at /m, "no stack trace");
      assert.equal(result.code, code);
      const left = existsSync(outputDir) ? (await readdir(outputDir)).filter((file) => !file.startsWith(".")) : [];
      assert.deepEqual(left, [], "nothing half-written");
    });
  }

  test("an output folder that another run uses", async () => {
    await using workspace = await Workspace.create();
    const outputDir = workspace.path("out");
    const start = (home: string, epochs: number) =>
      gradpool(
        [
          "train",
          `--model_id=${golden.modelDir}`,
          `--dataset=${golden.dataFile}`,
          `--output_dir=${outputDir}`,
          "--max_length=64",
          `--epochs=${epochs}`,
        ],
        workspace.path(home),
      );
    const first = start("home1", 40);
    while (!existsSync(outputDir)) await new Promise((resolve) => setImmediate(resolve));
    const second = await start("home2", 1);
    assert.equal(second.code, 1, second.stdout);
    assert.match(second.stderr, /out is in use by/);
    assert.equal((await first).code, 0, "the first continues");
  });

  test("an unreadable folder", { skip: process.getuid?.() === 0 ? "root reads everything" : false }, async () => {
    await using workspace = await Workspace.create();
    await cp(golden.modelDir, workspace.path("model"), { recursive: true });
    await chmod(workspace.path("model"), 0);
    const result = await gradpool(
      ["train", `--model_id=${workspace.path("model")}`, "--dataset=synthetic"],
      workspace.path("home"),
    );
    assert.equal(result.code, 1);
    assert.match(result.stderr, /cannot be read/);
  });
});

test("gradpool up on a port that is taken", async () => {
  await using workspace = await Workspace.create();
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const { code, stderr } = await gradpool(["up", `--port=${port}`], workspace.path("home"));
    assert.equal(code, 1);
    assert.match(stderr, /port is taken/);
  } finally {
    server.close();
  }
});
