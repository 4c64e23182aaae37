import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { failure, headerOf, load, remove, RUN, save, saveRequests, startStore, tempFolder } from "./support.js";

const FILES = { "adapter_config.json": "{}", "adapter_model.safetensors": "weights" };

test("sizes that do not add up are refused and leave nothing behind", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const sized = (sizeBytes: number) => headerOf(outputDir, 1, {}, { files: [{ path: "a", sizeBytes }] });
  const saving = (sizeBytes: number) => client.save(saveRequests(sized(sizeBytes), { a: "12345" }));
  await assert.rejects(saving(6), failure("data_loss", /file a is 1 bytes short of its 6/));
  await assert.rejects(saving(4), failure("data_loss", /more bytes/));
  await assert.rejects(saving(0), failure("data_loss", /more bytes/));
  assert.deepEqual(readdirSync(outputDir), []);
});

test("names that lead elsewhere are refused", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const invalid = (text: RegExp) => failure("invalid_argument", text);
  const hostile = [
    "../x",
    "a/b",
    "a\\b",
    "..",
    ".",
    "",
    ".hidden",
    "manifest.json",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    ".recovery-epoch0-step1",
    "checkpoint-epoch0-step1",
    "x".repeat(256),
  ];
  for (const path of hostile) {
    await assert.rejects(save(client, outputDir, 1, { [path]: "x" }), invalid(/cannot be a file's name/), path);
    await assert.rejects(save(client, outputDir, 1, { [path]: "x" }, { name: "" }), invalid(/file's name/), path);
  }
  for (const name of [
    "x",
    "../checkpoint-epoch0-step1",
    "checkpoint-epoch0-step1/..",
    "checkpoint-epoch-1-step1",
    "checkpoint-epoch0-step1\n",
    "recovery-epoch0-step1",
    "..recovery-epoch0-step1",
    ".recovery-epoch0-step1/../x",
    ".checkpoint-epoch0-step1",
  ]) {
    await assert.rejects(save(client, outputDir, 1, FILES, { name }), invalid(/is not a checkpoint's name/), name);
    await assert.rejects(load(client, outputDir, name), invalid(/is not a checkpoint's name/), name);
    await assert.rejects(client.verify({ outputDir, name }), invalid(/is not a checkpoint's name/), name);
    await assert.rejects(remove(client, outputDir, name), invalid(/is not a checkpoint's name/), name);
  }
  await assert.rejects(remove(client, outputDir, ""), invalid(/not a checkpoint's name/));
  for (const folder of ["", "relative", "./x", "~/x", "C:x", `${outputDir}/\0`]) {
    await assert.rejects(
      client.claim({ outputDir: folder, runId: RUN, keepResult: false }),
      invalid(/not an absolute path/),
      folder,
    );
    await assert.rejects(client.list({ outputDir: folder }), invalid(/not an absolute path/), folder);
  }
  await assert.rejects(client.claim({ outputDir, runId: "", keepResult: false }), invalid(/run_id is empty/));
  await assert.rejects(save(client, outputDir, 1, {}), invalid(/0 files/));
  const twice = headerOf(
    outputDir,
    1,
    {},
    {
      files: [
        { path: "a", sizeBytes: 0 },
        { path: "a", sizeBytes: 0 },
      ],
    },
  );
  await assert.rejects(client.save(saveRequests(twice, {})), invalid(/file a is listed twice/));
  await assert.rejects(
    load(client, await made(), "", ["/etc/passwd"]),
    failure("not_found", /has no file "\/etc\/passwd"; it has/),
  );
  assert.deepEqual(readdirSync(outputDir), ["checkpoint-epoch0-step1"]);

  async function made() {
    await save(client, outputDir, 1, FILES);
    return outputDir;
  }
});

test("messages out of order are refused", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const header = { message: { $case: "header" as const, value: headerOf(outputDir, 1, FILES) } };
  const sending = (...messages: Parameters<typeof send>) => client.save(send(...messages));
  async function* send(
    ...messages: { message: typeof header.message | { $case: "data"; value: Uint8Array } | undefined }[]
  ) {
    yield* messages;
  }
  await assert.rejects(sending(), failure("invalid_argument", /must be the header/));
  await assert.rejects(sending({ message: undefined }), failure("invalid_argument", /must be the header/));
  const data = { message: { $case: "data" as const, value: new Uint8Array(1) } };
  await assert.rejects(sending(data), failure("invalid_argument", /must be the header/));
  await assert.rejects(sending(header, header), failure("invalid_argument", /only data may follow/));
  assert.deepEqual(readdirSync(outputDir), []);
});

test("a file in the place of the output folder gets one clear line", async (t) => {
  const folder = tempFolder(t);
  writeFileSync(`${folder}/file`, "");
  const { client } = await startStore(t);
  const refused = failure("failed_precondition", /is not a folder; choose another --output_dir/);
  for (const outputDir of [`${folder}/file`, `${folder}/file/below`]) {
    await assert.rejects(client.claim({ outputDir, runId: RUN, keepResult: false }), refused);
    await assert.rejects(save(client, outputDir, 1, FILES), refused);
    await assert.rejects(client.list({ outputDir }), refused);
  }
  const result = save(client, folder, 0, { "file.txt": "x", "sub.txt": "y" }, { name: "" });
  await result;
  assert.ok(existsSync(`${folder}/sub.txt`) && statSync(`${folder}/file.txt`).size === 1);
  await assert.rejects(save(client, `${folder}/sub.txt`, 0, FILES), refused);
});
