/**
 * The same work in object stores of several makers. To try another one, name a bucket in GRADPOOL_TEST_BUCKET, and the
 * store in AWS's usual variables.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { SaveHeader, type SaveRequest } from "@gradpool/rpc";
import {
  deployTool,
  makeCertificates,
  Moto,
  motoPython,
  openssl,
  Versitygw,
  Workspace,
} from "@gradpool/integration-tests";
import { checkpointFiles, StoreProcess } from "../src/store-process.js";

const BUCKET = "results";
const NAME = "checkpoint-epoch0-step1";
/** In three parts. */
const LARGE = new Uint8Array(20 << 20).fill(7);

interface Peer {
  name: string;
  skip: string | false;
  bucket: string;
  start: (t: TestContext) => Promise<Running>;
}

interface Running {
  env: Record<string, string>;
  /** Undefined: this peer does not say. */
  inside?: {
    /** Of objects. */
    keys: () => Promise<string[]>;
    /** Of uploads in parts that have not ended. */
    uploads: () => Promise<string[]>;
  };
}

const isJournal = (key: string) => key.includes("/.gradpool.uploads.");

const python = await motoPython();
const own = process.env["GRADPOOL_TEST_BUCKET"];
const versitygw = await deployTool("versitygw");
const PEERS: Peer[] = [
  { name: "versitygw", skip: versitygw.skip, bucket: BUCKET, start: startVersitygw },
  { name: "moto", skip: python.skip, bucket: BUCKET, start: startMoto },
  {
    ...{ name: "the store in the environment", skip: own ? false : "set GRADPOOL_TEST_BUCKET", bucket: own ?? "" },
    start: () => Promise.resolve({ env: {} }),
  },
];

async function startVersitygw(t: TestContext): Promise<Running> {
  const workspace = await Workspace.create();
  const store = await Versitygw.start(workspace.path("objects"), [BUCKET]);
  t.after(async () => {
    await store[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });
  const files = async (folder: string) => {
    const entries = await readdir(store.path(BUCKET, folder), { recursive: true, withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => `${parentPath}/${name}`);
  };
  return {
    env: store.env,
    inside: {
      keys: async () => (await files("")).filter((path) => !path.includes("/.sgwtmp/")),
      uploads: () => files(".sgwtmp/multipart"),
    },
  };
}

async function startMoto(t: TestContext): Promise<Running> {
  const moto = await Moto.start(python.path, BUCKET);
  t.after(() => moto[Symbol.asyncDispose]());
  return { env: moto.env, inside: { keys: () => moto.keys(BUCKET), uploads: () => moto.uploads(BUCKET) } };
}

async function storeOn(t: TestContext, env: Record<string, string>): Promise<StoreProcess> {
  const store = await StoreProcess.start(env);
  t.after(() => store[Symbol.asyncDispose]());
  return store;
}

const withCode = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GradpoolError && error.code === code, String(error));
  assert.match(error.message, text);
  assert.ok(!error.message.includes("\n"));
  return true;
};

for (const { name, skip, bucket, start } of PEERS) {
  describe(name, { skip, timeout: 300_000 }, () => {
    const outputDir = `s3://${bucket}/gradpool-test-${randomUUID()}`;

    test("saves, loads, verifies and removes checkpoints, also in parts; of two runs one gets the folder", async (t) => {
      const { env, inside } = await start(t);
      const [store, other] = [await storeOn(t, env), await storeOn(t, env)];
      await store.client.claim({ outputDir, runId: "run-1", keepResult: false });
      await assert.rejects(
        other.client.claim({ outputDir, runId: "run-2", keepResult: false }),
        withCode("failed_precondition", /run-1/),
      );
      const files = new Map([...checkpointFiles(1), ["large.bin", LARGE]]);
      const header = { outputDir, runId: "run-1", step: 1 };
      await store.save({ ...header, name: NAME }, files);
      await store.save({ ...header, name: "" }, new Map([["result.txt", LARGE]]));
      const loaded = await other.load(outputDir);
      assert.equal(loaded.name, NAME);
      for (const [path, bytes] of files) assert.ok(Buffer.compare(bytes, loaded.files.get(path) ?? LARGE) === 0, path);
      const { checkpoints } = await other.client.verify({ outputDir, name: "" });
      assert.deepEqual(
        checkpoints.map(({ step, damage }) => [step, damage]),
        [[1, ""]],
      );
      await store.client.release({ outputDir, runId: "run-1" });
      await other.client.claim({ outputDir, runId: "run-2", keepResult: true });
      await other.client.delete({ outputDir, name: NAME, requestId: randomUUID() });
      await other.client.release({ outputDir, runId: "run-2" });
      assert.deepEqual((await other.client.list({ outputDir })).checkpoints, []);
      assert.deepEqual(((await inside?.keys()) ?? []).filter(isJournal), []);
    });

    test("what a killed store had uploaded of a file is cleared by the next one", async (t) => {
      const { env, inside } = await start(t);
      if (!inside) return t.skip("this peer does not say which uploads it has");
      const store = await StoreProcess.start(env);
      t.after(() => store.client.close());
      await store.client.claim({ outputDir, runId: "run-1", keepResult: false });
      const header = SaveHeader.fromPartial({ outputDir, runId: "run-1", name: NAME, step: 1 });
      const saving = store.client.save(
        halfOf({ ...header, files: [{ path: "large.bin", sizeBytes: LARGE.byteLength }] }),
      );
      const failed = assert.rejects(saving);
      while (!(await inside.keys()).some(isJournal) || (await inside.uploads()).length === 0) await delay(50);
      await store.kill();
      await failed;
      const next = await storeOn(t, env);
      await next.client.claim({ outputDir, runId: "run-1", keepResult: false });
      assert.deepEqual(await inside.uploads(), []);
      assert.deepEqual((await inside.keys()).filter(isJournal), []);
    });

    test("names a missing bucket", async (t) => {
      const store = await storeOn(t, (await start(t)).env);
      const missing = { outputDir: `s3://no-such-${randomUUID()}/x`, runId: "run-1", keepResult: false };
      await assert.rejects(store.client.claim(missing), withCode("not_found", /in a bucket that does not exist/));
    });
  });
}

/** All but the end of a file, for which it waits forever. */
async function* halfOf(header: SaveHeader): AsyncGenerator<SaveRequest> {
  yield { message: { $case: "header", value: header } };
  for (let at = 0; at < 18; at++) yield { message: { $case: "data", value: LARGE.subarray(0, 1 << 20) } };
  await new Promise(() => {});
}

test(
  "a private authority is named, and trusted with AWS_CA_BUNDLE",
  {
    skip: versitygw.skip || (await openssl()).skip,
    timeout: 120_000,
  },
  async (t) => {
    await using workspace = await Workspace.create();
    const { ca, server } = await makeCertificates(workspace.path("pki"));
    await using objects = await Versitygw.start(workspace.path("objects"), [BUCKET], server);
    const outputDir = `s3://${BUCKET}/first`;
    const claim = async (env: Record<string, string>) => {
      const store = await storeOn(t, { ...objects.env, ...env });
      return store.client.claim({ outputDir, runId: "run-1", keepResult: false });
    };
    await assert.rejects(
      claim({}),
      withCode("failed_precondition", /certificate is signed by an authority .* AWS_CA_BUNDLE/),
    );
    await assert.rejects(
      claim({ AWS_CA_BUNDLE: "/nowhere/ca.pem" }),
      withCode("failed_precondition", /AWS_CA_BUNDLE cannot be read: .*\/nowhere\/ca\.pem/),
    );
    await claim({ AWS_CA_BUNDLE: ca });
  },
);
