/**
 * What somebody with the pool's key tries on a pool that has roots, one row for each way to name a file: nothing outside of them is
 * read or written, nothing waits for a pipe, and a run inside of them completes.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as contracts from "@gradpool/rpc";
import { RunState, SubmitRunRequest, type RunSpec } from "@gradpool/rpc";
import { Intruder, LocalPool, tinyRun, TINY_CODER, watchRun, Workspace, type Attempt } from "../src/index.js";

const SECRET = "a secret outside of the roots";
/** Far longer than a refusal takes, shorter than a pipe without a writer. */
const NO_WAIT = { timeout: 30_000 };

describe("a pool with roots", { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let pool: LocalPool;
  let intruder: Intruder;
  let data: string;

  const inside = (...parts: string[]) => workspace.path("shared", ...parts);
  const outside = (...parts: string[]) => workspace.path("private", ...parts);

  before(async () => {
    workspace = await Workspace.create();
    await mkdir(inside("rows"), { recursive: true });
    await mkdir(outside());
    await writeFile(outside("rows.jsonl"), `${JSON.stringify({ content: SECRET })}\n`);
    await cp(TINY_CODER, outside("model"), { recursive: true });
    const rows = await workspace.dataset(20);
    data = inside("rows.jsonl");
    await cp(rows, data);
    await symlink(outside("rows.jsonl"), inside("rows", "linked.jsonl"));
    await cp(TINY_CODER, inside("linked-tokenizer"), { recursive: true });
    await rm(inside("linked-tokenizer", "tokenizer.json"));
    await symlink(outside("model", "tokenizer.json"), inside("linked-tokenizer", "tokenizer.json"));
    await symlink(outside(), inside("linked"));
    pool = await LocalPool.start(workspace.path("home"), [], {
      GRADPOOL_ROOTS: `${inside()},${TINY_CODER},s3://allowed/results`,
    });
    intruder = Intruder.start();
  });

  after(async () => {
    await intruder[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  const call = (name: string, service: string, method: string, request: object): Attempt => {
    const address = pool.services.find((one) => one.name === name)?.address ?? "";
    return { kind: "call", service, method, address, request, key: pool.key.reveal() };
  };
  const tokenizerOf = (modelId: string) => ({ modelId, padToken: "", tokenizerHash: "" });
  const stream = (sources: string[], model = TINY_CODER) => {
    const tokenizer = tokenizerOf(model);
    const dataset = { sources, textColumn: "content", tokenizer, maxLength: 64, batchSize: 1 };
    return call(
      "data-stream",
      "DataStreamService",
      "openStream",
      contracts.OpenStreamRequest.fromJSON({ dataset, epochs: 1 }),
    );
  };
  const describeData = (sources: string[]) => {
    const dataset = { sources, textColumn: "content", tokenizer: tokenizerOf(TINY_CODER), maxLength: 64, batchSize: 1 };
    return call(
      "data-stream",
      "DataStreamService",
      "describeDataset",
      contracts.DescribeDatasetRequest.fromJSON({ dataset }),
    );
  };
  const tokenizerFiles = (model: string) =>
    call("tokenizer", "TokenizerService", "getTokenizerFiles", { tokenizer: tokenizerOf(model) });
  const inStore = (method: string, request: object) =>
    call("checkpoint-store", "CheckpointStoreService", method, request);
  const saveTo = (outputDir: string) => {
    const header = { outputDir, runId: "r", name: "", files: [{ path: "metrics.json", sizeBytes: 0 }] };
    return inStore("save", contracts.SaveRequest.fromJSON({ header }));
  };
  const submit = (changes: Partial<RunSpec>, lora: { initAdapter?: string } = {}) => {
    const spec = { ...tinyRun(data, inside("refused"), {}, lora), ...changes };
    return call(
      "coordinator",
      "RunService",
      "submitRun",
      SubmitRunRequest.fromPartial({ requestId: randomUUID(), spec }),
    );
  };

  const OUTSIDE: { weakness: string; attempts: () => Attempt[] }[] = [
    {
      weakness: "reads rows outside, by name, in a folder, by a glob or by a link",
      attempts: () => [
        stream([outside("rows.jsonl")]),
        stream([data, outside()]),
        stream([`${outside()}/*.jsonl`]),
        stream([`${inside()}/r*/../../private/rows.jsonl`]),
        stream([inside("rows", "linked.jsonl")]),
        stream([inside("rows")]),
        stream([inside("linked", "rows.jsonl")]),
        describeData([outside("rows.jsonl")]),
        describeData([inside("rows", "linked.jsonl")]),
      ],
    },
    {
      weakness: "learns whether there is a file",
      attempts: () => [stream([outside("nothing.jsonl")]), tokenizerFiles(outside("nothing"))],
    },
    {
      weakness: "reads a tokenizer outside",
      attempts: () => [
        tokenizerFiles(outside("model")),
        tokenizerFiles(inside("linked", "model")),
        tokenizerFiles(inside("linked-tokenizer")),
        stream([data], outside("model")),
        call("tokenizer", "TokenizerService", "decode", {
          tokenizer: tokenizerOf(outside("model")),
          ids: new Uint8Array(4),
        }),
      ],
    },
    {
      weakness: "reads or writes checkpoints outside",
      attempts: () =>
        [outside("out"), inside("linked", "out"), "s3://allowed/others", "s3://allowed"].flatMap((outputDir) => [
          saveTo(outputDir),
          inStore("claim", { outputDir, runId: "r", keepResult: false }),
          inStore("release", { outputDir, runId: "r" }),
          inStore("list", { outputDir }),
          inStore("load", { outputDir, name: "", runId: "", paths: [] }),
          inStore("verify", { outputDir, name: "" }),
          inStore("delete", { outputDir, name: "checkpoint-epoch0-step1", requestId: "d" }),
        ]),
    },
    {
      weakness: "submits runs that name what is outside",
      attempts: () => [
        submit({ modelId: outside("model") }),
        submit({ dataset: [data, outside("rows.jsonl")] }),
        submit({ evalDataset: [outside("rows.jsonl")] }),
        submit({ outputDir: outside("out") }),
        submit({ outputDir: "s3://elsewhere/out" }),
        submit({ resumeFrom: outside("out", "checkpoint-epoch0-step1") }),
        submit({}, { initAdapter: outside("model") }),
      ],
    },
  ];
  for (const { weakness, attempts } of OUTSIDE) {
    test(weakness, async () => {
      for (const attempt of attempts()) {
        const { code, text } = await intruder.attempt(attempt);
        assert.equal(code, "permission_denied", `${JSON.stringify(attempt)}: ${code} ${text}`);
        assert.match(text, /is outside of what runs of this pool may use \(.*GRADPOOL_ROOTS$/);
        assert.ok(!text.includes("\n") && !text.includes(SECRET));
      }
      assert.deepEqual(await readdir(outside()), ["model", "rows.jsonl"]);
      assert.deepEqual(await readdir(outside("model")), await readdir(TINY_CODER));
    });
  }

  const PIPES: { weakness: string; attempts: () => Promise<Attempt[]> }[] = [
    {
      weakness: "a data set",
      attempts: async () => [stream([await pipe("data", "rows.jsonl")]), stream([inside("data")])],
    },
    {
      weakness: "a tokenizer",
      attempts: async () => {
        await cp(TINY_CODER, inside("tokenizer"), { recursive: true });
        await pipe("tokenizer", "tokenizer.json");
        return [tokenizerFiles(inside("tokenizer"))];
      },
    },
    {
      weakness: "a checkpoint's manifest",
      attempts: async () => {
        await pipe("checkpoints", "checkpoint-epoch0-step1", "manifest.json");
        const outputDir = inside("checkpoints");
        return [
          inStore("load", { outputDir, name: "checkpoint-epoch0-step1", runId: "", paths: [] }),
          inStore("load", { outputDir, name: "", runId: "", paths: [] }),
        ];
      },
    },
  ];
  for (const { weakness, attempts } of PIPES) {
    test(`a pipe as ${weakness} is refused without waiting for its writer`, NO_WAIT, async () => {
      for (const attempt of await attempts()) {
        const { code, text } = await intruder.attempt(attempt);
        assert.notEqual(code, "ok", `${JSON.stringify(attempt)}: ${text}`);
        assert.notEqual(code, "internal", text);
      }
    });
  }

  async function pipe(...parts: string[]): Promise<string> {
    const path = inside(...parts);
    await mkdir(join(path, ".."), { recursive: true });
    await rm(path, { force: true });
    execFileSync("mkfifo", [path]);
    return path;
  }

  test("pipes in a model, an adapter and an output folder fail the run", NO_WAIT, async () => {
    await cp(TINY_CODER, inside("piped-model"), { recursive: true });
    await pipe("piped-model", "model.safetensors");
    await pipe("piped-adapter", "adapter_config.json");
    const specs = [
      { ...tinyRun(data, inside("out-1")), modelId: inside("piped-model") },
      tinyRun(data, inside("out-2"), {}, { initAdapter: inside("piped-adapter") }),
    ];
    for (const spec of specs) {
      const { run } = await watchRun(pool.runs, await pool.submit(spec));
      assert.equal(run.state, RunState.RUN_STATE_FAILED);
      assert.match(
        run.error?.message ?? "",
        /model\.safetensors is not a regular file|adapter_config\.json cannot be read/,
      );
    }
  });

  test("a run inside completes, and its logs are its user's alone", async () => {
    const runId = await pool.submit(tinyRun(data, inside("out", "new")));
    const { run } = await watchRun(pool.runs, runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.ok((await readFile(inside("out", "new", "adapter_model.safetensors"))).byteLength > 0);
    const logs = (await readdir(workspace.path("home"), { recursive: true })).filter((name) => name.endsWith(".log"));
    assert.ok(logs.length >= 5);
    for (const log of logs) assert.equal((await stat(workspace.path("home", log))).mode & 0o777, 0o600, log);
  });
});
