/** I5 where coordinators hand runs over: whoever owned a run before changes nothing, in a folder and in an object store. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { SaveHeader, type SaveRequest } from "@gradpool/rpc";
import { kindsOfPlaces, type ArtifactPlace } from "../src/artifact-places.js";
import { checkpointFiles, type Files, type StoreProcess } from "../src/store-process.js";

const RUN = "run-1";
const FILES = checkpointFiles(0);
const named = (step: number) => `checkpoint-epoch0-step${step}`;
const text = (content: string) => new TextEncoder().encode(content);

/** Saves a checkpoint, or with the name "" a result. */
function save(
  { store, outputDir }: Pick<ArtifactPlace, "store" | "outputDir">,
  step: number,
  files: Files,
  change: Partial<SaveHeader>,
) {
  return store.save({ outputDir, runId: RUN, name: named(step), step, ...change }, files);
}

const stepsOf = async ({ store, outputDir }: ArtifactPlace) =>
  (await store.client.list({ outputDir })).checkpoints.map(({ step }) => step);

const isOlder = (error: unknown) => {
  assert.ok(error instanceof GradpoolError, String(error));
  assert.equal(error.code, "aborted", error.message);
  assert.match(error.message, /^run run-1 has changed hands: this is epoch 1, and .* has seen 2; nothing was changed/);
  return true;
};

for (const { name: kind, skip, create } of await kindsOfPlaces()) {
  describe(`in ${kind}`, { skip, timeout: 300_000 }, () => {
    test("once a run has changed hands, its former owner changes nothing", async (t) => {
      const place = await create(t);
      const { outputDir } = place;
      const other = await place.another();
      const claim = (store: StoreProcess, ownerEpoch: number) =>
        store.client.claim({ outputDir, runId: RUN, keepResult: false, ownerEpoch });
      await claim(place.store, 1);
      await save(place, 1, FILES, { ownerEpoch: 1 });
      // Its next owner may use the same store or another one.
      for (const store of [place.store, other]) {
        await claim(store, 2);
        await save({ store, outputDir }, 2, FILES, { ownerEpoch: 2 });
        const before = await place.files();
        for (const former of [place.store, other]) {
          await assert.rejects(claim(former, 1), isOlder);
          const late = { store: former, outputDir };
          await assert.rejects(save(late, 3, FILES, { ownerEpoch: 1 }), isOlder);
          await assert.rejects(save(late, 2, checkpointFiles(1), { ownerEpoch: 1 }), isOlder);
          await assert.rejects(save(late, 0, checkpointFiles(1), { name: "", ownerEpoch: 1 }), isOlder);
          const removal = { outputDir, name: named(1), runId: RUN, ownerEpoch: 1 };
          await assert.rejects(former.client.delete({ ...removal, requestId: randomUUID() }), isOlder);
          await former.client.release({ outputDir, runId: RUN, ownerEpoch: 1 });
          assert.deepEqual(await place.files(), before);
        }
      }
      assert.deepEqual(await ownerEpochsIn(place), [1, 2]);
      // The newest owner is done: what it saved still shows that it was there.
      await other.client.release({ outputDir, runId: RUN, ownerEpoch: 2 });
      const done = await place.files();
      await assert.rejects(save(place, 3, FILES, { ownerEpoch: 1 }), isOlder);
      assert.deepEqual(await place.files(), done);
      // Other runs have epochs of their own.
      await save(place, 3, FILES, { runId: "run-2", ownerEpoch: 1 });
    });

    test("a save that a newer owner overtakes changes nothing", async (t) => {
      const place = await create(t);
      const { outputDir } = place;
      const { client } = place.store;
      await client.claim({ outputDir, runId: RUN, keepResult: false, ownerEpoch: 1 });
      const before = await place.files();
      let resume = () => {};
      const paused = new Promise<void>((resolve) => (resume = resolve));
      async function* requests(): AsyncGenerator<SaveRequest> {
        const files = ["first", "second"].map((path) => ({ path, sizeBytes: 5 }));
        const header = SaveHeader.fromPartial({ outputDir, runId: RUN, name: named(1), step: 1, files, ownerEpoch: 1 });
        yield { message: { $case: "header", value: header } };
        yield { message: { $case: "data", value: text("12345") } };
        await paused;
        yield { message: { $case: "data", value: text("67890") } };
      }
      const late = assert.rejects(client.save(requests()), isOlder);
      const next = await place.another();
      while ((await place.files()).length === before.length) await delay(20);
      await next.client.claim({ outputDir, runId: RUN, keepResult: false, ownerEpoch: 2 });
      resume();
      await late;
      while ((await place.files()).length > before.length) await delay(20);
      assert.deepEqual(await stepsOf(place), []);
      await save({ store: next, outputDir }, 1, FILES, { ownerEpoch: 2 });
      assert.deepEqual(await stepsOf(place), [1]);
    });
  });
}

/** Which owners of the run saved checkpoints, by their manifests. */
async function ownerEpochsIn(place: ArtifactPlace): Promise<unknown[]> {
  const manifests = (await place.files()).filter((file) => file.endsWith("manifest.json"));
  return manifests.map((file) => (JSON.parse(String(place.read(file))) as { owner_epoch?: number }).owner_epoch);
}
