/** What a checkpoint store guarantees, both in a folder and in an object store; above all I5. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { SaveHeader, type SaveRequest } from "@gradpool/rpc";
import { kindsOfPlaces, type ArtifactPlace } from "../src/artifact-places.js";
import { checkpointFiles, type Files, type StoreProcess } from "../src/store-process.js";

const RUN = "run-1";
const named = (step: number) => `checkpoint-epoch0-step${step}`;
const LOCK = ".gradpool.lock";
const text = (content: string) => new TextEncoder().encode(content);
const FILES: Files = new Map([
  ["adapter_config.json", text("{}")],
  ["empty.txt", text("")],
  ["adapter_model.safetensors", text("weights")],
]);

/** Saves a checkpoint, or with the name "" a result. */
function save(
  { store, outputDir }: Pick<ArtifactPlace, "store" | "outputDir">,
  step: number,
  files: Files,
  change: Partial<SaveHeader> = {},
) {
  return store.save({ outputDir, runId: RUN, name: named(step), step, ...change }, files);
}

const stepsOf = async ({ store, outputDir }: ArtifactPlace) =>
  (await store.client.list({ outputDir })).checkpoints.map(({ step }) => step);

function failure(code: string, pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof GradpoolError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    assert.ok(!error.message.includes("\n"));
    return true;
  };
}

function assertSame(actual: Files, expected: Files, message?: string): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()], message);
  for (const [path, bytes] of expected) assert.equal(Buffer.compare(actual.get(path) ?? text("?"), bytes), 0, path);
}

for (const { name: kind, skip, create } of await kindsOfPlaces()) {
  describe(`in ${kind}`, { skip, timeout: 300_000 }, () => {
    test("a saved checkpoint is loaded, listed, verified and deleted", async (t) => {
      const place = await create(t);
      const { store, outputDir } = place;
      const saved = await save(place, 30, FILES);
      assert.deepEqual(saved, { path: `${outputDir}/${named(30)}`, removed: [] });
      const there = [...FILES.keys(), "manifest.json"].map((file) => `${named(30)}/${file}`).sort();
      assert.deepEqual(await place.files(), there, "nothing but the checkpoint, not even a lock");
      const loaded = await store.load(outputDir);
      assert.equal(loaded.name, named(30));
      assertSame(loaded.files, FILES);
      const { checkpoints } = await store.client.list({ outputDir });
      const { savedAt, ...rest } = checkpoints[0] ?? assert.fail();
      assert.ok(savedAt);
      const facts = { name: named(30), path: saved.path, runId: RUN, epoch: 0, step: 30 };
      assert.deepEqual(rest, { ...facts, sizeBytes: 9, damage: "", recovery: false });
      assert.deepEqual(await store.client.verify({ outputDir, name: "" }), { checkpoints });
      const request = { outputDir, name: named(30), requestId: randomUUID() };
      await store.client.delete(request);
      await store.client.delete(request);
      assert.deepEqual(await place.files(), []);
      const again = { ...request, requestId: randomUUID() };
      await assert.rejects(store.client.delete(again), failure("not_found", /no checkpoint/));
      await assert.rejects(store.load(outputDir), failure("not_found", /has no checkpoint/));
      await assert.rejects(store.load(outputDir, named(30)), failure("not_found", /no checkpoint checkpoint-epoch0/));
    });

    test("a checkpoint of the same name replaces the old one, again and again", async (t) => {
      const place = await create(t);
      for (const kind of [1, 2, 3]) {
        await save(place, 1, checkpointFiles(kind));
        assert.deepEqual(await stepsOf(place), [1]);
        assertSame((await place.store.load(place.outputDir)).files, checkpointFiles(kind));
        assert.equal((await place.files()).length, 5, "nothing is left of the one before");
      }
    });

    test("a result replaces files of the same names and nothing else, and removes the recovery points", async (t) => {
      const place = await create(t);
      await save(place, 3, FILES, { name: ".recovery-epoch0-step3" });
      place.write("metrics.json", "old");
      place.write("notes.txt", "mine");
      const result = new Map([
        ["metrics.json", text("new")],
        ["loss.svg", text("<svg/>")],
        ["empty.txt", text("")],
      ]);
      assert.deepEqual(await save(place, 0, result, { name: "" }), { path: place.outputDir, removed: [] });
      assert.deepEqual(await place.files(), ["empty.txt", "loss.svg", "metrics.json", "notes.txt"]);
      assert.equal(place.read("metrics.json").toString(), "new");
      assert.equal(place.read("notes.txt").toString(), "mine");
    });

    test("what a run has made so far replaces the files of their names, and its recovery point stays", async (t) => {
      const place = await create(t);
      await save(place, 3, FILES, { name: ".recovery-epoch0-step3" });
      for (const content of ["three", "four"]) {
        await save(place, 3, new Map([["metrics.json", text(content)]]), { name: "", unfinished: true });
      }
      assert.equal(place.read("metrics.json").toString(), "four");
      assert.deepEqual(await stepsOf(place), [3]);
      const refused = failure(
        "invalid_argument",
        /unfinished is for results, not for the checkpoint checkpoint-epoch0-step1/,
      );
      await assert.rejects(save(place, 1, FILES, { unfinished: true }), refused);
    });

    test("a folder with the result of another run is refused as asked, and nothing is written", async (t) => {
      const place = await create(t);
      const { client } = place.store;
      const claim = (runId: string) => client.claim({ outputDir: place.outputDir, runId, keepResult: true });
      place.write("adapter_config.json", "{}");
      const before = await place.files();
      await assert.rejects(claim("run-2"), failure("failed_precondition", /holds an adapter; choose .*--overwrite/));
      place.write("metrics.json", '{\n  "run_id": "run-1",\n  "steps": []\n}\n');
      const ofRun1 = failure(
        "failed_precondition",
        /holds the result of run run-1; choose another --output_dir, or give/,
      );
      await assert.rejects(claim("run-2"), ofRun1);
      assert.deepEqual(await place.files(), [...before, "metrics.json"]);
      await claim("run-1");
      await client.release({ outputDir: place.outputDir, runId: "run-1" });
      await client.claim({ outputDir: place.outputDir, runId: "run-2", keepResult: false });
    });

    test("metrics without an adapter are no result: a run that failed is simply repeated", async (t) => {
      const place = await create(t);
      place.write("metrics.json", '{\n  "run_id": "run-1"\n}\n');
      await place.store.client.claim({ outputDir: place.outputDir, runId: "run-2", keepResult: true });
    });

    test("a file of many parts is stored, in pieces of at most 1 MiB", async (t) => {
      const place = await create(t);
      const big = new Uint8Array(40_000_001).map((_, i) => i % 251);
      const files = new Map([
        ["big", big],
        ["part", big.subarray(0, 8 << 20)],
      ]);
      await save(place, 1, files);
      for await (const { data } of place.store.client.load({ ...place, name: "", paths: [], runId: "" }))
        assert.ok(data.byteLength <= 1 << 20);
      assertSame((await place.store.load(place.outputDir)).files, files);
    });

    test("keep_last_n removes the run's oldest checkpoints, never those of another run; recovery points are not counted", async (t) => {
      const place = await create(t);
      await save(place, 500, FILES, { runId: "another" });
      for (const step of [30, 10]) await save(place, step, FILES);
      await save(place, 20, FILES);
      await save(place, 21, FILES, { name: ".recovery-epoch0-step21" });
      const { removed } = await save(place, 5, FILES, { keepLastN: 2 });
      const gone = [30, 10].map((step) => `${place.outputDir}/${named(step)}`);
      assert.deepEqual(removed, gone, "by time, not by step: 30 was saved first");
      assert.deepEqual(await stepsOf(place), [5, 20, 500]);
      assert.equal((await place.files()).length, 3 * (FILES.size + 1));
    });

    test("keep_last_n counts the checkpoints of the runs that a run continues", async (t) => {
      const place = await create(t);
      await save(place, 500, FILES, { runId: "another" });
      for (const [runId, step] of [
        ["run-a", 1],
        ["run-a", 2],
        ["run-b", 3],
      ] as const) {
        await save(place, step, FILES, { runId });
      }
      const continued = { keepLastN: 2, continuedRunIds: ["run-a", "run-b"] };
      const { removed } = await save(place, 4, FILES, continued);
      assert.deepEqual(
        removed,
        [1, 2].map((step) => `${place.outputDir}/${named(step)}`),
      );
      assert.deepEqual(await stepsOf(place), [4, 3, 500]);
    });

    test("I5: a damaged checkpoint is detected, named and never loaded; the previous good one is", async (t) => {
      const place = await create(t);
      const { store, outputDir } = place;
      await save(place, 1, checkpointFiles(1));
      const file = (name: string) => `${named(2)}/${name}`;
      const cut = (path: string) => () => place.write(path, place.read(path).subarray(0, 10));
      const flip = (path: string, at: number) => () => {
        const bytes = Buffer.from(place.read(path));
        bytes[at] = (bytes[at] ?? 0) ^ 4;
        place.write(path, bytes);
      };
      const edit = (from: string, to: string) => () =>
        place.write(file("manifest.json"), place.read(file("manifest.json")).toString().replace(from, to));
      const damages: [() => void, RegExp][] = [
        [cut(file("training_state.safetensors")), /training_state\.safetensors has 10 bytes/],
        [flip(file("adapter_model.safetensors"), 0), /adapter_model\.safetensors does not match/],
        [flip(file("adapter_model.safetensors"), 1_199_999), /adapter_model\.safetensors does not match/],
        [cut(file("manifest.json")), /not valid JSON/],
        [edit('"step": 2', '"step": 9'), /own SHA/],
      ];
      for (const [damage, expected] of damages) {
        await save(place, 2, checkpointFiles(2));
        damage();
        await assert.rejects(store.load(outputDir, named(2)), failure("data_loss", expected));
        const loaded = await store.load(outputDir);
        assert.equal(loaded.name, named(1), String(expected));
        assertSame(loaded.files, checkpointFiles(1));
        const { checkpoints } = await store.client.verify({ outputDir, name: "" });
        const found = new Map(checkpoints.map((one) => [one.step, one.damage]));
        assert.match(found.get(2) ?? "", expected);
        assert.equal(found.get(1), "");
        await store.client.delete({ outputDir, name: named(2), requestId: randomUUID() });
      }
    });

    test("an interrupted save leaves nothing behind", async (t) => {
      const place = await create(t);
      const { store, outputDir } = place;
      await save(place, 1, FILES);
      const before = await place.files();
      const abort = new AbortController();
      async function* requests(): AsyncGenerator<SaveRequest> {
        const files = [{ path: "big", sizeBytes: 30 << 20 }];
        const header = SaveHeader.fromPartial({ outputDir, runId: RUN, name: named(2), step: 2, files });
        yield { message: { $case: "header", value: header } };
        for (let sent = 0; sent < 20; sent++) yield { message: { $case: "data", value: new Uint8Array(1 << 20) } };
        abort.abort();
        await once(abort.signal, "never").catch(() => {});
      }
      await assert.rejects(store.client.save(requests(), { signal: abort.signal }));
      const short = new Map([["short", text("12345")]]);
      const wrong = store.client.save(
        (async function* (): AsyncGenerator<SaveRequest> {
          const files = [{ path: "short", sizeBytes: 9 }];
          const header = SaveHeader.fromPartial({ outputDir, runId: RUN, name: named(3), step: 3, files });
          yield { message: { $case: "header", value: header } };
          for (const value of short.values()) yield { message: { $case: "data", value } };
        })(),
      );
      await assert.rejects(wrong, failure("data_loss", /is 4 bytes short of its 9/));
      while ((await place.files()).join() !== before.join()) await delay(20);
      assert.deepEqual(await stepsOf(place), [1]);
    });

    test("a folder belongs to one run at a time; a killed store's claim is released, and its leftovers are removed", async (t) => {
      const place = await create(t);
      const { outputDir } = place;
      const other = await place.another();
      const claim = (store: StoreProcess, runId: string) => store.client.claim({ outputDir, runId, keepResult: false });
      assert.deepEqual(await claim(place.store, RUN), { outputDir });
      await assert.rejects(claim(other, "run-2"), failure("failed_precondition", /in use by run run-1/));
      await assert.rejects(
        save({ ...place, store: other }, 1, FILES, { runId: "run-2" }),
        failure("failed_precondition", /in use/),
      );
      await place.store.client.release({ outputDir, runId: RUN });
      assert.deepEqual(await place.files(), []);
      await claim(place.store, RUN);
      await save(place, 1, FILES);
      await beginSave(place);
      await place.store.kill();
      assert.deepEqual(await claim(other, "run-2"), { outputDir });
      const kept = [LOCK, ...[...FILES.keys(), "manifest.json"].map((file) => `${named(1)}/${file}`)].sort();
      assert.deepEqual(await place.files(), kept);
      const rivals = await Promise.all([place.another(), place.another(), place.another()]);
      await other.client.release({ outputDir, runId: "run-2" });
      const taken = await Promise.allSettled(rivals.map((store, i) => claim(store, `rival-${i}`)));
      assert.equal(taken.filter(({ status }) => status === "fulfilled").length, 1, "of three at once one gets it");
    });
  });
}

/** A save of which a part has been sent, and which never ends. */
async function beginSave({ store, outputDir, files }: ArtifactPlace): Promise<void> {
  const before = (await files()).length;
  async function* requests(): AsyncGenerator<SaveRequest> {
    const listed = ["first", "second"].map((path) => ({ path, sizeBytes: 5 }));
    const header = SaveHeader.fromPartial({ outputDir, runId: RUN, name: named(2), step: 2, files: listed });
    yield { message: { $case: "header", value: header } };
    yield { message: { $case: "data", value: text("12345") } };
    await new Promise(() => {});
  }
  store.client.save(requests()).catch(() => {});
  while ((await files()).length === before) await delay(20);
}
