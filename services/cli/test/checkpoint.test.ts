/** gradpool checkpoint, with a running store and with its own. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  CheckpointStoreServiceService,
  createClient,
  SaveHeader,
  withKey,
  type Client,
  type SaveRequest,
} from "@gradpool/rpc";
import { key } from "./fake-pool.js";
import { entryPoint } from "../src/local-stack/entry-points.js";
import { ServiceProcess } from "../src/local-stack/service-process.js";
import { jsonLines, run } from "./support.js";

const TIMEOUT = { timeout: 120_000 };
const ADAPTER = {
  "adapter_config.json": `{"peft_type":"LORA"}`,
  "adapter_model.safetensors": "weights",
  "README.md": "# card",
  "tokenizer.json": "{}",
};
const STATE = { "training_state.safetensors": "moments", "trainer_state.json": "{}" };
const RECOVERY = { "adapter_model.safetensors": "weights", ...STATE };
const [FIRST, SECOND, POINT] = ["checkpoint-epoch0-step1", "checkpoint-epoch0-step2", ".recovery-epoch0-step3"];

describe("gradpool checkpoint", () => {
  let folder: string;
  let outputDir: string;
  let store: ServiceProcess;
  let client: Client<CheckpointStoreServiceService>;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "gradpool-cli-"));
    store = await ServiceProcess.start({
      name: "checkpoint-store",
      main: entryPoint("checkpoint-store"),
      env: { ...process.env, GRADPOOL_LISTEN: "127.0.0.1:0", GRADPOOL_KEY: key.reveal() },
      logPath: join(folder, "log"),
      note: () => {},
    });
    client = createClient(CheckpointStoreServiceService, store.address, [withKey(() => key)]);
  }, TIMEOUT);

  after(async () => {
    client.close();
    await store[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, TIMEOUT);

  beforeEach(async () => {
    outputDir = mkdtempSync(join(folder, "run-"));
    await save(FIRST, 1, { ...ADAPTER, ...STATE, "README.md": "# first" });
    await save(SECOND, 2, { ...ADAPTER, ...STATE });
    await save(POINT, 3, RECOVERY);
  });

  async function save(name: string, step: number, files: Record<string, string>): Promise<void> {
    const sizes = Object.entries(files).map(([path, text]) => ({ path, sizeBytes: Buffer.byteLength(text) }));
    const header = SaveHeader.fromPartial({ outputDir, runId: "run-1", name, step, files: sizes });
    async function* requests(): AsyncGenerator<SaveRequest> {
      yield { message: { $case: "header", value: header } };
      for (const text of Object.values(files)) yield { message: { $case: "data", value: Buffer.from(text) } };
    }
    await client.save(requests());
  }

  const checkpoint = (...argv: string[]) => run(["checkpoint", ...argv, "--store", store.address]);
  const damage = (name: string) => truncateSync(join(outputDir, name, "adapter_model.safetensors"), 3);
  const contents = (path: string) =>
    Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), "utf8")]));

  test("list shows size, step, time and state, newest first", TIMEOUT, async () => {
    damage(SECOND);
    const { code, stdout, stderr } = await checkpoint("list", outputDir);
    assert.deepEqual([code, stderr], [0, ""]);
    const [head, ...rows] = stdout.trimEnd().split("\n");
    assert.match(head ?? "", /^checkpoint +step +epoch +size +saved +run +state$/);
    assert.match(rows[0] ?? "", /^\.recovery-epoch0-step3 +3 +0 +16 B +\d{4}-\S+ \S+ +run-1 +ok \(recovery point\)$/);
    assert.match(rows[1] ?? "", /^checkpoint-epoch0-step2 +2 .* damaged: file adapter_model.safetensors has 3 bytes/);
    assert.match(rows[2] ?? "", /^checkpoint-epoch0-step1 +1 .* ok$/);
    const [list] = jsonLines((await checkpoint("list", outputDir, "--json")).stdout) as unknown as { name: string }[][];
    assert.deepEqual(
      list?.map(({ name }) => name),
      [POINT, SECOND, FIRST],
    );
    assert.equal((list?.[0] as Record<string, unknown>)["recovery"], true);
    const one = await checkpoint("list", join(outputDir, FIRST));
    assert.equal(one.stdout.trimEnd().split("\n").length, 2);
  });

  test("list of a folder without checkpoints says so; one that does not exist is an error", TIMEOUT, async () => {
    const empty = mkdtempSync(join(folder, "empty-"));
    assert.match((await checkpoint("list", empty)).stdout, /^no checkpoints in /);
    assert.equal((await checkpoint("verify", empty)).code, 1);
    const { code, stderr } = await checkpoint("list", join(folder, "nowhere"));
    assert.equal(code, 1);
    assert.match(stderr, /^gradpool: output_dir .* does not exist; check its name\n$/);
  });

  test("a manifest cannot write to the terminal", TIMEOUT, async () => {
    const manifest = join(outputDir, SECOND, "manifest.json");
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace("{", `{"\\u001b[2J\\n":1,`));
    const { stdout } = await checkpoint("list", outputDir);
    assert.doesNotMatch(stdout, /\x1b/);
    assert.equal(stdout.trimEnd().split("\n").length, 4);
  });

  test("verify reads all or one; exit code 1 when one is damaged", TIMEOUT, async () => {
    const whole = await checkpoint("verify", outputDir);
    assert.equal(whole.code, 0);
    assert.match(whole.stderr, /^reading .* \(1 of 3\)\n/);
    assert.equal(whole.stdout.match(/ whole/g)?.length, 3);
    const path = join(outputDir, SECOND, "adapter_config.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("LORA", "LORE"));
    const damaged = await checkpoint("verify", outputDir);
    assert.equal(damaged.code, 1);
    assert.match(damaged.stdout, /^checkpoint-epoch0-step2 .* damaged: file adapter_config.json does not match/m);
    assert.match(damaged.stderr, /^gradpool: 1 of 3 checkpoints damaged: checkpoint-epoch0-step2; /m);
    assert.equal((await checkpoint("verify", outputDir, FIRST)).code, 0);
    assert.equal((await checkpoint("verify", join(outputDir, FIRST))).code, 0);
    assert.equal((await checkpoint("verify", outputDir, SECOND)).code, 1);
    const lines = jsonLines((await checkpoint("verify", outputDir, "--json")).stdout);
    assert.deepEqual(
      lines.map(({ name, damage, error }) => name ?? damage ?? (error as { code: string }).code),
      [POINT, SECOND, FIRST, "data_loss"],
    );
    const absent = await checkpoint("verify", outputDir, "checkpoint-epoch0-step9");
    assert.match(absent.stderr, /no checkpoint checkpoint-epoch0-step9 in .*; choose one of .*step1\n$/);
  });

  test("delete removes one, damaged or not", TIMEOUT, async () => {
    damage(SECOND);
    assert.match((await checkpoint("delete", outputDir, SECOND)).stdout, /^deleted \S+step2\n$/);
    assert.equal((await checkpoint("delete", join(outputDir, POINT))).code, 0);
    assert.deepEqual(readdirSync(outputDir), [FIRST]);
    const again = await checkpoint("delete", outputDir, SECOND);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^gradpool: there is no checkpoint checkpoint-epoch0-step2 in [^\n]*\n$/);
    assert.match((await checkpoint("delete", outputDir, "latest")).stderr, /"latest" is not a checkpoint's name/);
  });

  test("export writes the adapter and its tokenizer, and no training state", TIMEOUT, async () => {
    const to = join(folder, "deep/er/adapter");
    const { code, stdout } = await checkpoint("export", outputDir, SECOND, "--to", to);
    assert.equal(code, 0);
    assert.match(stdout, /^exported checkpoint-epoch0-step2 to \S+ \(4 files, 35 B\)\n$/);
    assert.deepEqual(contents(to), ADAPTER);
    // A folder that is there and empty is taken, by way of a link as well.
    const empty = mkdtempSync(join(folder, "empty-"));
    symlinkSync(empty, `${empty}-link`);
    const [said] = jsonLines(
      (await checkpoint("export", join(outputDir, FIRST), "--to", `${empty}-link`, "--json")).stdout,
    );
    assert.deepEqual([said?.["checkpoint"], said?.["to"]], [FIRST, empty]);
    assert.equal(contents(empty)["README.md"], "# first");
    assert.deepEqual(readdirSync(join(folder, "deep/er")), ["adapter"]);
  });

  test("export latest takes the newest whole one, and no recovery point", TIMEOUT, async () => {
    await checkpoint("export", outputDir, "latest", "--to", join(outputDir, "a"));
    assert.deepEqual(contents(join(outputDir, "a")), ADAPTER);
    // Found only when the last file is read: the others are written by then.
    const path = join(outputDir, SECOND, "trainer_state.json");
    writeFileSync(path, "[]");
    const { code, stdout, stderr } = await checkpoint("export", outputDir, "latest", "--to", join(outputDir, "b"));
    assert.equal(code, 0);
    assert.match(stdout, /^exported checkpoint-epoch0-step1 /);
    assert.match(stderr, /step2 is damaged: file trainer_state.json does not match its SHA-256/);
    assert.equal(contents(join(outputDir, "b"))["README.md"], "# first");
    damage(FIRST);
    const none = await checkpoint("export", outputDir, "latest", "--to", join(outputDir, "c"));
    assert.equal(none.code, 1);
    assert.match(none.stderr, /has only damaged checkpoints; [^\n]*\n$/);
    assert.deepEqual(
      readdirSync(outputDir).filter((name) => /^c$|exporting/.test(name)),
      [],
    );
  });

  test("export writes all or nothing", TIMEOUT, async () => {
    writeFileSync(join(outputDir, SECOND, "trainer_state.json"), "[]");
    const refused = async (name: string, to: string, line: RegExp) => {
      const before = readdirSync(folder).sort();
      const { code, stderr } = await checkpoint("export", outputDir, name, "--to", to);
      assert.equal(code, 1);
      assert.match(stderr.trimEnd().split("\n").at(-1) ?? "", line);
      assert.deepEqual(readdirSync(folder).sort(), before);
    };
    await refused(SECOND, join(folder, "new/below"), /is damaged: file trainer_state.json does not match/);
    await refused(POINT, join(folder, "new"), /has no adapter_config.json, which PEFT needs; export a checkpoint/);
    await refused("checkpoint-epoch9-step9", join(folder, "new"), /there is no checkpoint/);
    await refused(FIRST, outputDir, /--to \S+ is not empty; choose a folder that does not exist yet/);
    await refused(FIRST, join(folder, "log"), /--to \S+ is not a folder; choose another one/);
    await refused(FIRST, join(folder, "log/below"), /--to \S+ is not a folder; choose another one/);
    await refused(FIRST, join(folder, "x".repeat(300)), /is too long a name/);
  });

  test("without --store, the command starts a store of its own and ends it", TIMEOUT, async () => {
    const temporary = await mkdir(join(folder, "tmp"), { recursive: true });
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = temporary;
    try {
      const { code, stdout, stderr } = await run(["checkpoint", "list", outputDir]);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, /checkpoint-epoch0-step1/);
      assert.deepEqual(readdirSync(temporary ?? ""), [], "its log is gone as well");
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    }
  });
});
