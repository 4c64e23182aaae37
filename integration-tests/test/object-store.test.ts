/** What is special about an object store: locks rely on conditional requests, and it may be unavailable. */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { deployTool, gradpool, Versitygw, Workspace } from "@gradpool/integration-tests";
import { checkpointFiles, StoreProcess } from "../src/store-process.js";

const { skip } = await deployTool("versitygw");
const BUCKET = "results";
const outputDir = `s3://${BUCKET}/first`;
const RUN = "run-1";

async function start(t: TestContext) {
  const workspace = await Workspace.create();
  const objects = await Versitygw.start(workspace.path("objects"), [BUCKET]);
  t.after(async () => {
    await objects[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });
  const store = async () => {
    const started = await StoreProcess.start(objects.env);
    t.after(() => started[Symbol.asyncDispose]());
    return started;
  };
  return { workspace, objects, store };
}

const save = (store: StoreProcess, step: number) =>
  store.save({ outputDir, runId: RUN, name: `checkpoint-epoch0-step${step}`, step }, checkpointFiles(step));

const withCode = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof GradpoolError && error.code === code && text.test(error.message) && !error.message.includes("\n");

describe("an object store", { skip, timeout: 300_000 }, () => {
  test("a run's next store takes over; the previous one, cut off and back again, changes nothing", async (t) => {
    const { store } = await start(t);
    const [before, next] = [await store(), await store()];
    await before.client.claim({ outputDir, runId: RUN, keepResult: false });
    await save(before, 1);
    await next.client.claim({ outputDir, runId: RUN, keepResult: false });
    await save(next, 2);
    await before.client.release({ outputDir, runId: RUN });
    await save(next, 3);
    assert.equal((await next.load(outputDir)).name, "checkpoint-epoch0-step3");
    const { checkpoints } = await before.client.verify({ outputDir, name: "" });
    assert.deepEqual(
      checkpoints.map(({ step, damage }) => [step, damage]),
      [3, 2, 1].map((step) => [step, ""]),
    );
  });

  test("while it is down, calls fail as unavailable; what was saved is there when it is back", async (t) => {
    const { objects, store: startStore, workspace } = await start(t);
    const store = await startStore();
    await save(store, 1);
    await objects.kill();
    await assert.rejects(save(store, 2), withCode("unavailable", /cannot be reached \(ECONNREFUSED\); check AWS_END/));
    const command = ["checkpoint", "list", outputDir];
    const listed = await gradpool(command, workspace.path("home"), objects.env);
    assert.equal(listed.code, 1);
    assert.match(listed.stderr, /^gradpool: output_dir s3:\/\/results\/first cannot be reached/m);
    await objects.start();
    await save(store, 3);
    const { checkpoints } = await store.client.verify({ outputDir, name: "" });
    assert.deepEqual(
      checkpoints.map(({ step, damage }) => [step, damage]),
      [3, 1].map((step) => [step, ""]),
    );
  });

  test("a missing bucket and a wrong secret are named", async (t) => {
    const { objects, store } = await start(t);
    const missing = { outputDir: "s3://no-such-bucket/first", runId: RUN, keepResult: false };
    await assert.rejects(
      (await store()).client.claim(missing),
      withCode("not_found", /in a bucket that does not exist; create/),
    );
    const unauthorized = await StoreProcess.start({ ...objects.env, AWS_SECRET_ACCESS_KEY: "wrong" });
    t.after(() => unauthorized[Symbol.asyncDispose]());
    const refused = withCode("permission_denied", /secret key is wrong; check AWS_ACCESS_KEY_ID/);
    await assert.rejects(unauthorized.client.claim({ outputDir, runId: RUN, keepResult: false }), refused);
  });
});
