/** sample and eval, against what Hugging Face's libraries give for the same models. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseHeader } from "@gradpool/safetensors";
import { assertHolds, REPOSITORY, run, TINY_CODER, withFolder } from "./support.js";

const GOLDEN = join(REPOSITORY, "integration-tests/fixtures/golden/gpt2-plain");
const GOLDEN_MODEL = ["--model_id", join(GOLDEN, "model")];

/** The one JSON document of a command. */
async function document(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run([...argv, "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("gradpool sample", () => {
  test("continues as transformers' greedy generation does", async () => {
    const prompt = "def main():\n";
    const completion =
      "#     http://www.apache.org/licenses/LICENSE-2.0\n#\n# Unless required by applicable law or agreed to " +
      "in writing, software\n# distributed under the License is";
    const argv = ["sample", "--model_id", TINY_CODER, "--prompt", prompt, "--max_new_tokens", "40"];
    assertHolds(await document(...argv), { prompt, completion, new_tokens: 40, finish_reason: "length" });
    const { stdout } = await run(argv);
    assert.equal(stdout, `${prompt}${completion}\n`);
  });

  test("continues as PEFT's model does with an adapter", async () => {
    const argv = ["sample", ...GOLDEN_MODEL, "--prompt", "the value of", "--max-new-tokens=20"];
    const [bad, line] = ["\ufffd", "\u2029"];
    const base = await document(...argv);
    assert.equal(base["completion"], `]${bad}${line.repeat(3)}${bad}]]${" table".repeat(7)}${bad.repeat(6)}`);
    const adapted = await document(...argv, "--adapter", join(GOLDEN, "final_adapter"));
    assert.equal(adapted["completion"], `]${bad}${line.repeat(8)}${bad}]:::::::::`);
  });

  test("ends at the model's positions, and refuses a prompt beyond them", async () => {
    const argv = ["sample", "--model_id", TINY_CODER, "--max_new_tokens", "20", "--prompt"];
    const near = await document(...argv, " x".repeat(250));
    assert.equal(near["finish_reason"], "positions");
    assert.equal(near["new_tokens"], 6);
    const { code, stderr } = await run([...argv, " x".repeat(256)]);
    assert.equal(code, 1);
    assert.match(stderr, /the prompt has 256 tokens, and the model 256 positions; shorten the prompt/);
  });

  test("begins a text of its own for an empty prompt", async () => {
    const { new_tokens } = await document("sample", "--model_id", TINY_CODER, "--prompt", "", "--max_new_tokens", "3");
    assert.equal(new_tokens, 3);
  });

  test("with a temperature the seed decides", async () => {
    const sample = async (seed: string) => {
      const argv = ["sample", "--model_id", TINY_CODER, "--prompt", "import ", "--max_new_tokens", "12"];
      return (await document(...argv, "--temperature", "1", "--seed", seed))["completion"];
    };
    assert.equal(await sample("1"), await sample("1"));
    assert.notEqual(await sample("1"), await sample("2"));
  });

  test("draws only from what top-k and top-p leave", async () => {
    const argv = ["sample", "--model_id", TINY_CODER, "--prompt", "import ", "--max_new_tokens", "12"];
    const greedy = (await document(...argv))["completion"];
    assert.equal((await document(...argv, "--temperature", "3", "--top_k", "1"))["completion"], greedy);
    assert.equal((await document(...argv, "--temperature", "3", "--top_p", "1e-9"))["completion"], greedy);
    const drawn = await document(...argv, "--temperature", "3", "--repetition_penalty", "1.2");
    assert.notEqual(drawn["completion"], greedy);
  });

  test("ends before a stop text, and gives tokens and timings", async () => {
    const argv = ["sample", "--model_id", TINY_CODER, "--prompt", "def main():\n", "--stop", "agreed", "# Unless"];
    const { completion, finish_reason, tokens, timings } = await document(...argv);
    assert.equal(completion, "#     http://www.apache.org/licenses/LICENSE-2.0\n#\n");
    assert.equal(finish_reason, "stop");
    const ids = tokens as { prompt: number[]; completion: number[] };
    assert.ok(ids.prompt.length > 0 && ids.completion.length > 10);
    for (const seconds of Object.values(timings as Record<string, number>)) assert.ok(seconds > 0);
  });

  test("reads a long prompt from standard input in pieces, and streams whole characters", async () => {
    // More positions than one run of the model reads.
    const prompt = "# é 🙂\n".repeat(24);
    const argv = ["sample", "--model_id", TINY_CODER, "--prompt", "-", "--max_new_tokens", "8"];
    const bin = join(REPOSITORY, "services/cli/bin/gradpool.js");
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...argv, "--json"], { input: prompt });
    assert.equal(status, 0, String(stderr));
    const fromStdin = JSON.parse(String(stdout)) as Record<string, unknown>;
    const given = await document(...argv.map((word) => (word === "-" ? prompt : word)));
    assert.ok((given["tokens"] as { prompt: number[] }).prompt.length > 130);
    assert.deepEqual(fromStdin["tokens"], given["tokens"]);
    assert.equal(fromStdin["completion"], given["completion"]);
  });

  test("knows a pad token that a run added, and only then", async () => {
    const argv = ["sample", ...GOLDEN_MODEL, "--max_new_tokens", "4", "--prompt", "the value<|pad|>"];
    const { code, stderr } = await run(argv);
    assert.equal(code, 1);
    assert.match(stderr, /the prompt has the token <\|pad\|>, which this model does not know; leave it out\n$/);
    await withFolder(async (folder) => {
      await cp(join(GOLDEN, "final_adapter"), folder, { recursive: true });
      await writeFile(join(folder, "tokenizer_config.json"), `{"pad_token": "<|pad|>"}`);
      const { tokens } = await document(...argv, "--adapter", folder);
      const { vocab_size } = JSON.parse(await readFile(join(GOLDEN, "model/config.json"), "utf8")) as {
        vocab_size: number;
      };
      assert.equal((tokens as { prompt: number[] }).prompt.at(-1), vocab_size);
    });
  });

  test("refuses an adapter of another model, and a damaged one", async () => {
    const argv = ["sample", "--model_id", TINY_CODER, "--prompt", "x", "--adapter"];
    const other = await run([...argv, join(GOLDEN, "final_adapter")]);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /^gradpool: the adapter does not fit: .*\n$/);
    await withFolder(async (folder) => {
      const file = "adapter_model.safetensors";
      await writeFile(
        join(folder, "adapter_config.json"),
        await readFile(join(GOLDEN, "final_adapter/adapter_config.json")),
      );
      await writeFile(join(folder, file), (await readFile(join(GOLDEN, "final_adapter", file))).subarray(0, 5000));
      const damaged = await run([...argv, folder]);
      assert.equal(damaged.code, 1);
      assert.match(damaged.stderr, /^gradpool: .*adapter_model\.safetensors.*\n$/);
      await writeFile(join(folder, "adapter_config.json"), "{");
      assert.match((await run([...argv, folder])).stderr, /adapter_config.json is not valid JSON; /);
      await writeFile(join(folder, "adapter_config.json"), `{"r": ${"[".repeat(200_000)}${"]".repeat(200_000)}}`);
      assert.match((await run([...argv, folder])).stderr, /adapter_config.json is not valid JSON; /);
    });
  });
});

describe("gradpool eval", () => {
  test("gives the reference run's loss", async () => {
    const reference = JSON.parse(await readFile(join(GOLDEN, "reference.json"), "utf8")) as {
      loss: number;
      tokens: number;
    }[];
    const [step] = reference;
    const argv = [
      "eval",
      ...GOLDEN_MODEL,
      "--dataset",
      join(GOLDEN, "data.jsonl"),
      "--max_length",
      "64",
      "--max_rows",
      "8",
    ];
    for (const more of [[], ["--adapter", join(GOLDEN, "init_adapter")], ["--batch_size", "3"]]) {
      const { loss, perplexity, tokens, rows } = await document(...argv, ...more);
      assert.equal(rows, 8);
      assert.equal(tokens, step?.tokens);
      assert.ok(Math.abs((loss as number) - (step?.loss ?? 0)) < 1e-5 * (step?.loss ?? 0), String(loss));
      assert.equal(perplexity, Math.exp(loss as number));
    }
    const trained = await document(...argv, "--adapter", join(GOLDEN, "final_adapter"));
    assert.ok((trained["loss"] as number) < (step?.loss ?? 0) - 0.1);
  });

  test("tells people rows, tokens, loss and perplexity", async () => {
    const { code, stdout } = await run(["eval", "--model_id", TINY_CODER, "--dataset", "synthetic"]);
    assert.equal(code, 0);
    assert.match(stdout, /^rows +2\ntokens +\d+\nloss +\d\.\d{4}\nperplexity +[\d.]+\n$/);
  });

  test("leaves out rows without a token to predict, whatever the model makes of them", async () => {
    await withFolder(async (folder) => {
      const model = join(folder, "model");
      await cp(join(REPOSITORY, "integration-tests/fixtures/golden/pythia/model"), model, { recursive: true });
      // After reading "~", token 94, the model gives NaN.
      const weights = await readFile(join(model, "model.safetensors"));
      const { shape = [], begin = 0 } =
        parseHeader(weights, weights.length).tensors.get("gpt_neox.embed_in.weight") ?? {};
      const width = shape[1] ?? 0;
      for (let i = 0; i < width; i++) weights.writeFloatLE(NaN, begin + 4 * (94 * width + i));
      await writeFile(join(model, "model.safetensors"), weights);
      const evaluate = async (text: string) => {
        const data = join(folder, "rows.txt");
        await writeFile(data, text);
        const argv = [
          "eval",
          "--model_id",
          model,
          "--dataset",
          data,
          "--no-append-eos",
          "--batch_size",
          "1",
          "--max_length",
          "64",
        ];
        return document(...argv);
      };
      const { rows, tokens, loss } = await evaluate("def f(): return 1\n");
      assert.ok(Number.isFinite(loss));
      assertHolds(await evaluate("def f(): return 1\n~\n"), { rows: (rows as number) + 1, tokens, loss });
      assert.equal((await evaluate("def f(): return ~1\n"))["loss"], null);
    });
  });

  test("refuses rows without a token to predict", async () => {
    await withFolder(async (folder) => {
      const data = join(folder, "rows.txt");
      await writeFile(data, "x\n");
      const argv = ["eval", "--model_id", TINY_CODER, "--dataset", data];
      const { code, stderr } = await run([...argv, "--no-append-eos"]);
      assert.equal(code, 1);
      assert.match(stderr, /no token to predict; a row needs at least two tokens\n$/);
    });
  });
});
