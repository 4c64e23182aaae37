/**
 * How the store handles object stores that misbehave or are unavailable; with a real one:
 * integration-tests/test/object-store.test.ts.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { OutputStore } from "../src/output-store.js";
import { S3Folders } from "../src/s3/folders.js";
import { failure, LOG, RUN } from "./support.js";

const OUTPUT = "s3://results/first";

/** A store on an object store that answers like `listener`. */
async function storeOn(t: TestContext, listener: RequestListener): Promise<OutputStore> {
  const server = createServer(listener);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env["AWS_ACCESS_KEY_ID"] = "key";
  process.env["AWS_SECRET_ACCESS_KEY"] = "secret";
  const store = new OutputStore(new S3Folders({ endpoint, region: "us-east-1" }), () => new Date(), LOG);
  t.after(async () => {
    await store[Symbol.asyncDispose]();
    server.closeAllConnections();
    await once(server.close(), "close");
  });
  return store;
}

const errorBody = (code: string) =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no\nmore</Message></Error>`;

test("an object store that ignores conditions is refused, and nothing is left in it", async (t) => {
  const objects = new Set<string>();
  const store = await storeOn(t, (request, response) => {
    request.resume();
    const path = (request.url ?? "").split("?")[0] ?? "";
    if (request.method === "PUT") objects.add(path);
    if (request.method === "DELETE") objects.delete(path);
    if (request.method === "GET") response.writeHead(404).end(errorBody("NoSuchKey"));
    else response.writeHead(200, { etag: '"1"' }).end();
  });
  await assert.rejects(
    store.claim(OUTPUT, { runId: RUN }, false),
    failure("failed_precondition", /ignores If-None-Match; choose one/),
  );
  assert.deepEqual([...objects], []);
});

/** A store in memory that honours conditions when it writes; `onDelete`: how it answers conditional deletions. */
function memoryStore(onDelete: "ignores" | "refuses"): { listener: RequestListener; objects: Map<string, Buffer> } {
  const objects = new Map<string, Buffer>();
  const etagOf = (bytes: Buffer) => `"${createHash("md5").update(bytes).digest("hex")}"`;
  const listener: RequestListener = (request, response) => {
    void (async () => {
      const path = (request.url ?? "").split("?")[0] ?? "";
      const body = Buffer.concat(await request.toArray());
      const there = objects.get(path);
      const { "if-match": match, "if-none-match": none } = request.headers;
      const holds = (none === undefined || !there) && (match === undefined || (there && etagOf(there) === match));
      if (request.method === "PUT" && !holds) response.writeHead(412).end(errorBody("PreconditionFailed"));
      else if (request.method === "PUT") {
        objects.set(path, body);
        response.writeHead(200, { etag: etagOf(body) }).end();
      } else if (request.method === "DELETE" && match && onDelete === "refuses") {
        response.writeHead(501).end(errorBody("NotImplemented"));
      } else if (request.method === "DELETE") {
        objects.delete(path);
        response.writeHead(204).end();
      } else if (!path.slice(1).includes("/")) {
        response.writeHead(200).end(`<?xml version="1.0"?><ListBucketResult></ListBucketResult>`);
      } else if (there) response.writeHead(200, { etag: etagOf(there), "content-length": there.byteLength }).end(there);
      else response.writeHead(404).end(errorBody("NoSuchKey"));
    })();
  };
  return { listener, objects };
}

for (const onDelete of ["ignores", "refuses"] as const) {
  test(`where a store ${onDelete} If-Match of a deletion, a lock is released without one`, async (t) => {
    const { listener, objects } = memoryStore(onDelete);
    const deleted: string[] = [];
    let isTried = false;
    const store = await storeOn(t, (request, response) => {
      if (isTried && request.method === "DELETE") deleted.push(request.url ?? "");
      listener(request, response);
    });
    const claimed = await store.claim(OUTPUT, { runId: RUN }, false);
    assert.equal(claimed, OUTPUT);
    const lock = "/results/first/.gradpool.lock";
    assert.match(String(objects.get(lock)), new RegExp(RUN));
    await assert.rejects(
      store.claim(OUTPUT, { runId: "run-2" }, false),
      failure("failed_precondition", new RegExp(RUN)),
    );
    isTried = true;
    await store.release(OUTPUT, { runId: RUN });
    assert.equal(String(objects.get(lock)), "{}\n", "it names nobody");
    await store.claim(OUTPUT, { runId: "run-2" }, false);
    assert.match(String(objects.get(lock)), /run-2/);
    assert.deepEqual(deleted, [], "another store's lock might have been there by then");
  });
}

test("a store that ignores If-Match of a write is refused by name", async (t) => {
  const { listener } = memoryStore("ignores");
  const store = await storeOn(t, (request, response) => {
    delete request.headers["if-match"];
    listener(request, response);
  });
  await assert.rejects(
    store.claim(OUTPUT, { runId: RUN }, false),
    failure("failed_precondition", /ignores If-Match; choose one/),
  );
});

test("failures are reported in one line, with what to do", async (t) => {
  let answer: [status: number, code: string] = [500, ""];
  const store = await storeOn(t, (request, response) => {
    request.resume();
    response.writeHead(answer[0]).end(errorBody(answer[1]));
  });
  const cases: [status: number, code: string, expected: string, text: RegExp][] = [
    [404, "NoSuchBucket", "not_found", /in a bucket that does not exist; create the bucket/],
    [403, "AccessDenied", "permission_denied", /may not be used with these credentials, it says "no more"; grant/],
    [403, "InvalidAccessKeyId", "permission_denied", /does not know the access key; check AWS_ACCESS_KEY_ID/],
    [403, "ExpiredToken", "permission_denied", /renew AWS_SESSION_TOKEN/],
    [400, "AuthorizationHeaderMalformed", "failed_precondition", /set AWS_REGION/],
    [503, "SlowDown", "unavailable", /cannot be reached \(SlowDown, status 503\)/],
    [500, "InternalError", "unavailable", /cannot be reached/],
    [507, "Anything", "resource_exhausted", /no space left/],
    [418, "constructor", "failed_precondition", /was refused by the object store .*, it says "no more"; see its log/],
  ];
  for (const [status, code, expected, text] of cases) {
    answer = [status, code];
    await assert.rejects(store.list(OUTPUT), failure(expected, text), code);
  }
});

test("a listing that never ends is abandoned", async (t) => {
  let pages = 0;
  const store = await storeOn(t, (request, response) => {
    request.resume();
    const names = Array.from({ length: 1000 }, (_, i) => `first/x${pages}-${i}/`);
    pages += 1;
    const folders = names.map((name) => `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`).join("");
    const more = `<IsTruncated>true</IsTruncated><NextContinuationToken>${pages}</NextContinuationToken>`;
    response.writeHead(200).end(`<?xml version="1.0"?><ListBucketResult>${more}${folders}</ListBucketResult>`);
  });
  await assert.rejects(store.list(OUTPUT), failure("resource_exhausted", /more than 100000 objects are under first\//));
  assert.ok(pages <= 101, `${pages} pages`);
});
