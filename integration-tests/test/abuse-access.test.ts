/**
 * What another user of the machine tries on a pool, one row for each weakness: nothing works without the key, decoy files
 * stay unread and unwritten, and an honest run beside it is not disturbed.
 */
import assert from "node:assert/strict";
import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as contracts from "@gradpool/rpc";
import { RunState } from "@gradpool/rpc";
import { HonestRun } from "../src/honest-run.js";
import { Intruder, LocalPool, tinyRun, TINY_CODER, watchRun, Workspace, type Attempt } from "../src/index.js";

const DECOY = "a secret of the pool's user";

describe("another user of the machine", { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let pool: LocalPool;
  let intruder: Intruder;
  let decoy: string;
  let honest: Promise<unknown>;
  let beside: HonestRun;

  before(async () => {
    workspace = await Workspace.create();
    // A folder as many homes are: others may look into it.
    await chmod(workspace.path(), 0o755);
    decoy = workspace.path("decoy.jsonl");
    await writeFile(decoy, `${JSON.stringify({ content: DECOY })}\n`, { mode: 0o600 });
    pool = await LocalPool.start(workspace.path("home"), ["--metrics", "--trainers", "1", "--threads", "1"]);
    intruder = Intruder.start();
    const runId = await pool.submit(tinyRun(await workspace.dataset(80), workspace.path("out"), { epochs: 2 }));
    honest = watchRun(pool.runs, runId);
    beside = await HonestRun.start(pool, workspace);
  });

  after(async () => {
    await beside[Symbol.asyncDispose]();
    await intruder[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  const at = (name: string) => pool.services.find((service) => service.name === name);
  const call = (name: string, service: string, method: string, request: object): Attempt => {
    return { kind: "call", service, method, address: at(name)?.address ?? "", request };
  };
  const get = (path: string, headers: Record<string, string> = {}): Attempt => {
    return { kind: "get", url: `http://${at("coordinator")?.http_address}${path}`, headers };
  };
  const tokenizer = { modelId: TINY_CODER, padToken: "", tokenizerHash: "" };

  const ROWS: { weakness: string; attempts: () => Attempt[]; code: string; onlyOther?: boolean }[] = [
    {
      weakness: "reads a private file as a data set",
      attempts: () => [
        call(
          "data-stream",
          "DataStreamService",
          "openStream",
          contracts.OpenStreamRequest.fromJSON({
            dataset: { sources: [decoy], textColumn: "content", tokenizer, maxLength: 64, batchSize: 1 },
            epochs: 1,
          }),
        ),
        call("tokenizer", "TokenizerService", "decode", { tokenizer, ids: new Uint8Array(8) }),
      ],
      code: "unauthenticated",
    },
    {
      weakness: "reads files of a folder as a tokenizer's",
      attempts: () => [call("tokenizer", "TokenizerService", "getTokenizerFiles", { tokenizer })],
      code: "unauthenticated",
    },
    {
      weakness: "overwrites a private file by a checkpoint without a name",
      attempts: () => [
        call(
          "checkpoint-store",
          "CheckpointStoreService",
          "save",
          contracts.SaveRequest.fromJSON({
            header: {
              outputDir: workspace.path(),
              runId: "r",
              name: "",
              files: [{ path: "decoy.jsonl", sizeBytes: 0 }],
            },
          }),
        ),
      ],
      code: "unauthenticated",
    },
    {
      weakness: "joins as a trainer, and would be given other people's rows",
      attempts: () => [call("coordinator", "TrainerGatewayService", "work", {})],
      code: "unauthenticated",
    },
    {
      weakness: "guesses a key",
      attempts: () => [
        { ...call("coordinator", "RunService", "listRuns", {}), key: "0123456789abcdef" } as Attempt,
        { ...call("checkpoint-store", "CheckpointStoreService", "list", {}), key: "0123456789abcdef" } as Attempt,
      ],
      code: "unauthenticated",
    },
    {
      weakness: "makes each other call of each contract",
      attempts: () => {
        const services: [name: string, service: string][] = [
          ["coordinator", "RunService"],
          ["coordinator", "PoolService"],
          ["coordinator", "EventService"],
          ["coordinator", "TrainerGatewayService"],
          ["data-stream", "DataStreamService"],
          ["tokenizer", "TokenizerService"],
          ["checkpoint-store", "CheckpointStoreService"],
        ];
        return services.flatMap(([name, service]) => {
          const definition = contracts[`${service}Service` as keyof typeof contracts] as contracts.Definition;
          return Object.keys(definition).map((method) => call(name, service, method, {}));
        });
      },
      code: "unauthenticated",
    },
    {
      weakness: "asks over HTTP, with a wrong key, cookie or link too",
      attempts: () => [
        ...["/", "/api/runs", "/metrics", "/nothing", "/?key=0123456789abcdef"].map((path) => get(path)),
        get("/api/runs", { authorization: "Bearer 0123456789abcdef" }),
        get("/api/runs", { cookie: `gradpool_${at("coordinator")?.http_address?.split(":")[1]}=0123456789abcdef` }),
      ],
      code: "401",
    },
    {
      weakness: "reads the key and what it is made of",
      attempts: () => [
        { kind: "read", path: join(workspace.path("home"), "pools", pool.address.split(":")[1] ?? "", "key") },
        ...pool.services.map(({ pid }): Attempt => ({ kind: "read", path: `/proc/${pid}/environ` })),
      ],
      code: "EACCES",
      onlyOther: true,
    },
  ];

  for (const { weakness, attempts, code, onlyOther = false } of ROWS) {
    const skip = onlyOther && !Intruder.isOther && "only root can be another user";
    test(weakness, { skip }, async () => {
      await beside.beside(async () => {
        for (const attempt of attempts()) {
          const outcome = await intruder.attempt(attempt);
          assert.equal(outcome.code, code, `${JSON.stringify(attempt)}: ${outcome.text}`);
          assert.ok(!outcome.text.includes(DECOY) && !outcome.text.includes(pool.key.reveal()));
        }
      });
    });
  }

  test("may ask how services are, as probes do", async () => {
    for (const path of ["/healthz", "/readyz"]) assert.equal((await intruder.attempt(get(path))).code, "200");
    for (const { address } of pool.services) assert.equal(await contracts.healthProblem(address), "");
  });

  test("leaves files as they are, and the honest run completes", async () => {
    assert.equal(await readFile(decoy, "utf8"), `${JSON.stringify({ content: DECOY })}\n`);
    const { run } = (await honest) as Awaited<ReturnType<typeof watchRun>>;
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED);
  });

  test("finds the key in no log, pid file, command line, event or run store", async () => {
    const home = workspace.path("home");
    const files = (await readdir(home, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    const holders: string[] = [];
    for (const { parentPath, name } of files) {
      const text = await readFile(join(parentPath, name), "latin1");
      if (text.includes(pool.key.reveal())) holders.push(name);
    }
    assert.deepEqual(new Set(holders), new Set(["key"]));
    for (const { pid } of pool.services) {
      assert.ok(!(await readFile(`/proc/${pid}/cmdline`, "latin1")).includes(pool.key.reveal()));
      assert.ok(!(await readFile(`/proc/${pid}/environ`, "latin1")).includes(pool.key.reveal()));
    }
  });
});
