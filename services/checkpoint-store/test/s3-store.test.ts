/**
 * How the store handles object stores that misbehave or are unavailable; with a real one:
 * integration-tests/test/object-store.test.ts.
 */
import assert from "node:assert/strict";
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
    store.claim(OUTPUT, RUN, false),
    failure("failed_precondition", /ignores If-None-Match; choose one/),
  );
  assert.deepEqual([...objects], []);
});

test("failures are reported in one line, with what to do", async (t) => {
  let answer: [status: number, code: string] = [500, ""];
  const store = await storeOn(t, (request, response) => {
    request.resume();
    response.writeHead(answer[0]).end(errorBody(answer[1]));
  });
  const cases: [status: number, code: string, expected: string, text: RegExp][] = [
    [404, "NoSuchBucket", "not_found", /in a bucket that does not exist; create the bucket/],
    [403, "AccessDenied", "permission_denied", /may not be used with these credentials/],
    [403, "InvalidAccessKeyId", "permission_denied", /does not know the access key; check AWS_ACCESS_KEY_ID/],
    [403, "ExpiredToken", "permission_denied", /renew AWS_SESSION_TOKEN/],
    [400, "AuthorizationHeaderMalformed", "failed_precondition", /set AWS_REGION/],
    [503, "SlowDown", "unavailable", /cannot be reached \(SlowDown, status 503\)/],
    [500, "InternalError", "unavailable", /cannot be reached/],
    [507, "Anything", "resource_exhausted", /no space left/],
    [418, "constructor", "failed_precondition", /was refused by the object store/],
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
