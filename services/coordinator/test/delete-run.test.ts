/** Deleting runs that have ended, on request or after some time. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { ListRunsRequest } from "@gradpool/rpc";
import { failure } from "./support.js";
import { durableWorld, type World } from "./world.js";

/** A run that was cancelled while it waited for a trainer. */
async function endedRun(world: World, name: string): Promise<{ runId: string; submission: string }> {
  const submission = randomUUID();
  const spec = world.spec({ outputDir: world.outputDir(name) });
  const { run } = await world.runs.submitRun({ requestId: submission, spec });
  const runId = run?.runId ?? assert.fail();
  await world.runs.cancelRun({ requestId: randomUUID(), runId });
  return { runId, submission };
}

const idsOf = async (world: World) =>
  (await world.runs.listRuns(ListRunsRequest.create())).runs.map(({ runId }) => runId);

const unknown = (runId: string) => failure("not_found", new RegExp(`there is no run ${runId}`));

describe("deleting a run", { timeout: 240_000 }, () => {
  it("forgets it for good, and touches no other", async () => {
    await using world = await durableWorld();
    const [gone, kept] = [await endedRun(world, "gone"), await endedRun(world, "kept")];
    const request = { requestId: randomUUID(), runId: gone.runId };
    await world.runs.deleteRun(request);
    const check = async () => {
      assert.deepEqual(await idsOf(world), [kept.runId]);
      await assert.rejects(world.runs.getRun({ runId: gone.runId }), unknown(gone.runId));
      await assert.rejects(world.watch(gone.runId), unknown(gone.runId));
      const log = world.runs.watchRunLog({ runId: gone.runId, afterNumber: 0, follow: false });
      await assert.rejects(log[Symbol.asyncIterator]().next(), unknown(gone.runId));
      // The same request has one effect and one answer (I4); another finds nothing.
      await world.runs.deleteRun(request);
      await assert.rejects(world.runs.deleteRun({ ...request, requestId: randomUUID() }), unknown(gone.runId));
      // A repeated submission does not bring it back.
      const again = { requestId: gone.submission, spec: world.spec({ outputDir: world.outputDir("gone") }) };
      await assert.rejects(world.runs.submitRun(again), unknown(gone.runId));
      const other = { requestId: request.requestId, runId: kept.runId };
      await assert.rejects(world.runs.deleteRun(other), failure("already_exists", /request_id/));
    };
    await check();
    await world.restartCoordinator();
    await check();
    const problems: string[] = [];
    for await (const part of world.pool.verifyRunStore({})) problems.push(...part.problems);
    assert.deepEqual(problems, []);
  });

  it("is refused while it has not ended", async () => {
    await using world = await durableWorld();
    const runId = await world.submit(world.spec());
    const expected = failure(
      "failed_precondition",
      new RegExp(`has not ended; cancel it first: gradpool run cancel ${runId}`),
    );
    await assert.rejects(world.runs.deleteRun({ requestId: randomUUID(), runId }), expected);
    assert.deepEqual(await idsOf(world), [runId]);
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
  });

  it("happens once, however many ask at a time", async () => {
    await using world = await durableWorld();
    const { runId } = await endedRun(world, "run");
    const answers = await Promise.allSettled(
      Array.from({ length: 5 }, () => world.runs.deleteRun({ requestId: randomUUID(), runId })),
    );
    const codes = answers.map((answer) => (answer.status === "rejected" ? GradpoolError.from(answer.reason).code : ""));
    assert.deepEqual(codes.sort(), ["", "not_found", "not_found", "not_found", "not_found"]);
  });

  it("happens by itself some time after it ended, if the pool is told so", async () => {
    await using world = await durableWorld({ keepRunsMs: 200 });
    const { runId } = await endedRun(world, "old");
    const waiting = await world.submit(world.spec({ outputDir: world.outputDir("waiting") }));
    while ((await idsOf(world)).includes(runId)) await delay(20);
    assert.deepEqual(await idsOf(world), [waiting]);
    await world.runs.cancelRun({ requestId: randomUUID(), runId: waiting });
  });
});
