/** What a download from a hub survives, and how it fails if it cannot. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { ErrorCode } from "@gradpool/errors";
import { downloadModel, type Hub, type Repo } from "@gradpool/hub";
import type { Fault } from "@gradpool/integration-tests";
import { failsWith, gate, MODEL, NEEDED, noise, repoFolder, unfinished, withModel } from "../src/hub-fixtures.js";

const { signal } = new AbortController();
const WEIGHTS = noise(1_000_000);

describe("a download succeeds in spite of", () => {
  const faults: Record<string, Fault[]> = {
    "connections that break": [
      { on: /model\.safetensors/, kind: "cut", afterBytes: 250_000, times: 2 },
      { on: /config\.json/, kind: "cut", afterBytes: 3, times: 2 },
    ],
    "connections that break when ranges are not supported": [
      { on: /model\.safetensors/, kind: "no-range" },
      { on: /model\.safetensors/, kind: "cut", afterBytes: 600_000, times: 2 },
    ],
    "HTTP 429 with Retry-After": [{ on: /./, kind: "status", status: 429, headers: { "retry-after": "0" }, times: 3 }],
    "HTTP 500 and 503 of the hub": [
      { on: /\/api\//, kind: "status", status: 500, times: 2 },
      { on: /resolve/, kind: "status", status: 503, times: 3 },
    ],
    "HTTP 502 of the storage": [{ on: /./, at: "storage", kind: "status", status: 502, times: 3 }],
    "answers that end early": [{ on: /model\.safetensors/, kind: "truncate", afterBytes: 400_000, times: 2 }],
    "a damaged transfer": [{ on: /model\.safetensors/, kind: "damage", atByte: 777_777, times: 1 }],
  };
  for (const [name, switched] of Object.entries(faults)) {
    test(name, async () => {
      const { workspace } = await withModel(WEIGHTS);
      await using _ = workspace;
      for (const fault of switched) workspace.fake.inject(fault);
      const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
      assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
      assert.deepEqual((await readdir(folder)).sort(), NEEDED);
      assert.deepEqual(await unfinished(workspace), []);
    });
  }

  test("a sender that stops, and one that sends slowly", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const never = gate();
    workspace.fake.inject({
      on: /model\.safetensors/,
      kind: "hold",
      afterBytes: 300_000,
      until: never.opened,
      times: 1,
    });
    workspace.fake.inject({ on: /model\.safetensors/, kind: "drip", bytes: 1, everyMs: 10, times: 1 });
    const hub = workspace.hub({ timing: { responseMs: 20_000, stallMs: 400, backoffMs: 5 } });
    const { folder } = await downloadModel(hub, MODEL, { signal });
    assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
    const ranges = workspace.fake.contentRequests("model.safetensors").filter(({ at }) => at === "storage");
    assert.ok(ranges.length >= 3);
  });

  test("a hub that does not answer at first", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    workspace.fake.inject({ on: /revision/, kind: "silence", times: 1 });
    const hub = workspace.hub({ timing: { responseMs: 1000, stallMs: 20_000, backoffMs: 5 } });
    // On a busy machine the rest may also exceed this, and is retried.
    assert.ok((await downloadModel(hub, MODEL, { signal })).folder);
  });
});

describe("a download ends with one line that says what to do:", () => {
  const attempt = (hub: Hub, repo: Repo = MODEL) => downloadModel(hub, repo, { signal });
  const cases: Record<string, { fault: Fault; code: ErrorCode; message: RegExp }> = {
    "a wrong ETag": {
      fault: { on: /model\.safetensors/, kind: "etag", etag: "ab".repeat(32) },
      code: "failed_precondition",
      message: /model\.safetensors of org\/tiny changed since the hub listed it; start again/,
    },
    "content that is damaged each time": {
      fault: { on: /model\.safetensors/, kind: "damage", atByte: 5 },
      code: "data_loss",
      message: /model\.safetensors of org\/tiny is damaged.*try again later/,
    },
    "answers that always end early": {
      fault: { on: /config\.json/, kind: "truncate", afterBytes: 4 },
      code: "data_loss",
      message: /config\.json of org\/tiny is truncated at byte \d+ of 23/,
    },
    "HTTP 429 without an end": {
      fault: { on: /resolve/, kind: "status", status: 429 },
      code: "resource_exhausted",
      message: /limits requests \(HTTP 429\).*set HF_TOKEN/,
    },
    "a pause that is too long": {
      fault: { on: /resolve/, kind: "status", status: 429, headers: { "retry-after": "3600" } },
      code: "resource_exhausted",
      message: /asks to wait 3600 s/,
    },
    "HTTP 500 without an end": {
      fault: { on: /resolve/, kind: "status", status: 500 },
      code: "unavailable",
      message: /fails \(HTTP 500\).*try again later/,
    },
    "HTTP 403 of the storage": {
      fault: { on: /./, at: "storage", kind: "status", status: 403 },
      code: "permission_denied",
      message: /denies the files of org\/tiny/,
    },
    "a redirect to nowhere": {
      fault: { on: /resolve/, kind: "status", status: 302, headers: { location: "ftp://storage/x" } },
      code: "unavailable",
      message: /redirects to an unprotected address/,
    },
    "redirects in a circle": {
      fault: { on: /./, kind: "status", status: 307, headers: { location: "/again" } },
      code: "unavailable",
      message: /redirects endlessly/,
    },
  };
  for (const [name, { fault, code, message }] of Object.entries(cases)) {
    test(name, async () => {
      const { workspace } = await withModel(WEIGHTS);
      await using _ = workspace;
      workspace.fake.inject(fault);
      await assert.rejects(attempt(workspace.hub()), failsWith(code, message));
    });
  }

  test("names and revisions that do not exist", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const [none, other] = [
      { ...MODEL, id: "org/none" },
      { ...MODEL, revision: "v9" },
    ];
    await assert.rejects(attempt(workspace.hub(), none), failsWith("not_found", /org\/none.*set HF_TOKEN/));
    const known = workspace.hub({ token: "hf_good" });
    await assert.rejects(attempt(known, none), failsWith("not_found", /no model org\/none; check the name/));
    await assert.rejects(attempt(workspace.hub(), other), failsWith("not_found", /no branch, tag or commit v9/));
  });

  test("private and gated repositories", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    for (const access of ["private", "gated"] as const) {
      const repo = workspace.fake.create("model", `org/${access}`, { access });
      await repo.commit(workspace.path("model"));
    }
    const [hidden, gated] = [
      { ...MODEL, id: "org/private" },
      { ...MODEL, id: "org/gated" },
    ];
    const [anonymous, wrong, known] = [{}, { token: "hf_bad" }, { token: "hf_good" }].map((one) => workspace.hub(one));
    await assert.rejects(attempt(anonymous!, hidden), failsWith("not_found", /private.*set HF_TOKEN/));
    await assert.rejects(attempt(anonymous!, gated), failsWith("permission_denied", /gated; accept its terms at http/));
    await assert.rejects(
      attempt(wrong!, hidden),
      failsWith("permission_denied", /does not accept the token in HF_TOKEN/),
    );
    for (const repo of [hidden, gated]) assert.ok((await attempt(known!, repo)).folder);
  });

  test("a cache that is not writable", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    await mkdir(workspace.cacheDir);
    await writeFile(repoFolder(workspace), "in the way");
    const message = /models--org--tiny is not a cache folder/;
    await assert.rejects(attempt(workspace.hub()), failsWith("failed_precondition", message));
  });
});
