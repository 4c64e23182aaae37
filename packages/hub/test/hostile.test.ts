/** A hub that gives false answers: typed errors in one line, in bounded memory and time, and nothing outside of the cache. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import fc from "fast-check";
import { configsOf } from "../src/dataset-card.js";
import { compileGlob } from "../src/glob.js";
import { Hub } from "../src/hub.js";
import { downloadModel } from "../src/model-files.js";
import { isSafePath } from "../src/repo-files.js";
import { hubRepo, parseRepoName } from "../src/repo-name.js";

const { signal } = new AbortController();
const REPO = { type: "model", id: "org/name", revision: "main" } as const;
const SHA1 = "a".repeat(40);

/** A hub whose listing has one model, unless set otherwise. */
interface Answers {
  revision?: RequestListener;
  tree?: RequestListener;
  resolve?: RequestListener;
}

const json =
  (value: unknown): RequestListener =>
  (_, response) =>
    response.end(JSON.stringify(value));

const listed = (path: string, size = 2) => ({ type: "file", path, size, oid: SHA1 });
const HONEST = [listed("config.json"), listed("model.safetensors")];

async function against(answers: Answers, use: (hub: Hub, root: string) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "gradpool-hub-"));
  const { revision = json({ sha: SHA1 }), tree = json(HONEST), resolve = json({}) } = answers;
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    (url.includes("/revision/") ? revision : url.includes("/tree/") ? tree : resolve)(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const timing = { responseMs: 20_000, stallMs: 20_000, backoffMs: 1 };
  try {
    const endpoint = `http://127.0.0.1:${port}`;
    await use(new Hub({ endpoint, cacheDir: join(root, "cache"), offline: false, timing }), root);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(root, { recursive: true });
  }
}

const failsWith = (code: ErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GradpoolError, String(error));
  assert.match(error.message, message);
  assert.ok(!error.message.includes("\n"));
  assert.equal(error.code, code);
  return true;
};

describe("invalid answers are refused:", () => {
  const cases: Record<string, [Answers, ErrorCode, RegExp]> = {
    "a web page": [{ revision: (_, response) => response.end("<html>") }, "data_loss", /is not in the hub's format/],
    "another shape": [{ revision: json([]) }, "data_loss", /is not in the hub's format/],
    "a commit that is a path": [{ revision: json({ sha: "../../x" }) }, "data_loss", /is not in the hub's format/],
    "a path that leads out": [{ tree: json([listed("../../config.json")]) }, "data_loss", /names a file/],
    "an absolute path": [{ tree: json([listed("/etc/x")]) }, "data_loss", /names a file/],
    "a hash that is a path": [
      { tree: json([{ ...listed("config.json"), oid: "../../../x" }]) },
      "data_loss",
      /size and hash of config\.json/,
    ],
    "an invalid size": [{ tree: json([listed("config.json", -1)]) }, "data_loss", /size and hash of config\.json/],
    "pages that lead to themselves": [
      {
        tree: (_, response) => {
          response.setHeader("link", '<http://elsewhere.example/?recursive=true&cursor=1>; rel="next"');
          response.end(JSON.stringify(HONEST));
        },
      },
      "data_loss",
      /endlessly/,
    ],
    "a file of another size": [
      { resolve: (_, response) => response.end("{}".repeat(500)) },
      "failed_precondition",
      /changed since the hub listed it/,
    ],
    "a file of another content": [{ resolve: json({}) }, "data_loss", /is damaged: its hash/],
    "a file encoded once more": [
      { resolve: (_, response) => response.setHeader("content-encoding", "gzip").end(gzipSync("{}")) },
      "unavailable",
      /encoded as gzip/,
    ],
  };
  for (const [name, [answers, code, message]] of Object.entries(cases)) {
    test(name, async () => {
      await against(answers, async (hub, root) => {
        await assert.rejects(downloadModel(hub, REPO, { signal }), failsWith(code, message));
        assert.ok(!existsSync(join(root, "config.json")) && !existsSync(join(root, "x")));
      });
    });
  }

  test("listings without an end, of pages or of bytes", async () => {
    let page = 0;
    const pages: RequestListener = (_, response) => {
      const files = Array.from({ length: 20_000 }, (_, i) => listed(`${page}-${i}`));
      response.setHeader("link", `</?cursor=${++page}>; rel="next"`);
      response.end(JSON.stringify(files));
    };
    await against({ tree: pages }, (hub) =>
      assert.rejects(hub.list(REPO, signal), failsWith("resource_exhausted", /more than 100000 files/)),
    );
    const bytes: RequestListener = (_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(" ".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    };
    await against({ tree: bytes }, (hub) =>
      assert.rejects(hub.list(REPO, signal), failsWith("resource_exhausted", /larger than/)),
    );
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, " "));
    await against({ tree: (_, response) => response.setHeader("content-encoding", "gzip").end(bomb) }, (hub) =>
      assert.rejects(hub.list(REPO, signal), failsWith("resource_exhausted", /larger than/)),
    );
  });
});

test("whatever a card, a pattern or a name holds, it is read or refused", () => {
  const expected = (error: unknown) => assert.ok(error instanceof GradpoolError, String(error));
  const attempt = (what: () => unknown) => {
    try {
      what();
    } catch (error) {
      expected(error);
    }
  };
  const dataset = { ...REPO, type: "dataset" } as const;
  const yaml = fc.oneof(
    fc.string(),
    fc.json(),
    fc.jsonValue().map((value) => `configs: ${JSON.stringify([value])}`),
  );
  fc.assert(fc.property(yaml, (text) => attempt(() => configsOf(dataset, "README.md", `---\n${text}\n---\n`))));
  const glob = fc.string({ unit: fc.constantFrom("*", "?", "[", "]", "!", "-", "/", "a", "b", "\\", "😀") });
  fc.assert(fc.property(glob, glob, (pattern, path) => attempt(() => compileGlob(pattern)(path.split("/")))));
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (name) => {
      attempt(() => {
        const found = parseRepoName(name, "dataset");
        if (found) assert.ok(isSafePath(found.id) && isSafePath(found.revision), name);
      });
    }),
  );
});

test("a name with a zero byte is not on the hub, and does not crash", async () => {
  assert.equal(await hubRepo("a\0b", "model"), undefined);
});
