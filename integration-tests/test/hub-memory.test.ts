/** A file on the hub may be larger than memory, and its reader slower than the network. */
import assert from "node:assert/strict";
import { mkdir, open } from "node:fs/promises";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { listDatasetFiles } from "@gradpool/hub";
import { HubWorkspace } from "../src/hub-fixtures.js";

const SIZE_BYTES = 512 * 1024 * 1024;
/** Both ends of the transfer are in this process, including their uncollected garbage. */
const HELD_BYTES = 128 * 1024 * 1024;

test("a slow reader of a large file slows down the sender instead of buffering", async () => {
  await using workspace = await HubWorkspace.create();
  await mkdir(workspace.path("large"));
  const file = await open(workspace.path("large", "rows.jsonl.gz"), "w");
  await file.truncate(SIZE_BYTES);
  await file.close();
  await workspace.fake.create("dataset", "org/large").commit(workspace.path("large"));

  const { signal } = new AbortController();
  const repo = { type: "dataset", id: "org/large", revision: "main" } as const;
  const { files } = await listDatasetFiles(workspace.hub(), repo, {}, signal);
  const before = process.memoryUsage().arrayBuffers;
  let bytes = 0;
  let heldBytes = 0;
  for await (const chunk of files[0]!.source.read({ start: 0, signal })) {
    bytes += chunk.byteLength;
    heldBytes = Math.max(heldBytes, process.memoryUsage().arrayBuffers - before);
    // Give the sender many turns for each of the reader's.
    for (let turn = 0; turn < 4; turn++) await setImmediate();
  }
  assert.equal(bytes, SIZE_BYTES);
  assert.ok(heldBytes < HELD_BYTES, `${heldBytes} bytes were held`);
});
