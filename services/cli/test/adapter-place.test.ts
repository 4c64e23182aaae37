/** --adapter with the id of a run: the coordinator tells the folder. */
import assert from "node:assert/strict";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import type { Run } from "@gradpool/rpc";
import { runOf, startFakePool } from "./fake-pool.js";
import { REPOSITORY, run, TINY_CODER, withFolder } from "./support.js";

const CHECKPOINT = join(REPOSITORY, "services/checkpoint-store/test/fixtures/tiny-coder-step4");
const ID = "run-mf3k2a1b-9c04e7";
const SAMPLE = ["sample", "--model_id", TINY_CODER, "--prompt", "import ", "--max_new_tokens", "4"];

/** A pool that knows one run, with its output in `outputDir`. */
const poolWith = (outputDir: string) =>
  startFakePool({
    runs: {
      getRun: async ({ runId }) => {
        if (runId !== ID) throw new GradpoolError("not_found", `there is no run ${runId}; look at the list`);
        const known: Run = runOf({ runId });
        return { run: { ...known, spec: { ...known.spec!, outputDir } } };
      },
    },
  });

describe("--adapter of a run", () => {
  test("is the run's newest checkpoint, for sample, eval and export", async () => {
    await withFolder(async (folder) => {
      const checkpoint = join(folder, "checkpoint-epoch0-step4");
      await cp(CHECKPOINT, checkpoint, { recursive: true });
      await using pool = await poolWith(folder);
      const ofRun = ["--adapter", ID, "--address", pool.address];
      for (const argv of [SAMPLE, ["eval", "--model_id", TINY_CODER, "--dataset", "synthetic"]]) {
        const [byId, byFolder] = [await run([...argv, ...ofRun]), await run([...argv, "--adapter", checkpoint])];
        assert.equal(byId.code, 0, byId.stderr);
        assert.equal(byId.stdout, byFolder.stdout);
      }
      const exported = await run(["export", "--model_id", TINY_CODER, ...ofRun, "--to", join(folder, "to")]);
      assert.equal(exported.code, 0, exported.stderr);
    });
  });

  test("a path is never one: no pool is asked for it", async () => {
    await withFolder(async (folder) => {
      const { stderr } = await run([...SAMPLE, "--adapter", join(folder, "other"), "--address", "127.0.0.1:1"]);
      assert.match(stderr, /other cannot be read \(ENOENT\); give a folder that gradpool or PEFT saved\n$/);
    });
  });

  test("says when the run is unknown, and when its folder is elsewhere or empty", async () => {
    await withFolder(async (folder) => {
      const missing = join(folder, "elsewhere");
      await using pool = await poolWith(missing);
      const problem = async (id: string, address = pool.address) => {
        const { code, stderr } = await run([...SAMPLE, "--adapter", id, "--address", address]);
        assert.equal(code, 1);
        assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
        return stderr;
      };
      const away = /run-x is neither a folder here nor a known run id: no pool answers at 127.0.0.1:1; start one/;
      assert.match(await problem("run-x", "127.0.0.1:1"), away);
      assert.match(await problem("run-x"), /run-x is neither a folder here .*: the pool at [\d.:]+ has no such run\n$/);
      assert.match(
        await problem(ID),
        /writes into .*elsewhere on the pool at .*, which is not on this machine; copy that folder/,
      );
      await mkdir(missing);
      assert.match(await problem(ID), /elsewhere\/adapter_config.json cannot be read \(ENOENT\)/);
    });
  });
});
