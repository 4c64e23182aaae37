/** NATS's address and our credentials, from the environment; secrets never get into an error. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { JetStream, natsOptions } from "../src/index.js";

test("without NATS_URL there is none", () => {
  assert.equal(natsOptions({}), undefined);
  assert.equal(natsOptions({ NATS_URL: "", NATS_TOKEN: "t" }), undefined);
});

test("servers, and a user from the URL or from separate variables", () => {
  const one = { servers: ["127.0.0.1:4222"], tls: false };
  assert.deepEqual(natsOptions({ NATS_URL: "nats://127.0.0.1" }), one);
  assert.deepEqual(natsOptions({ NATS_URL: "nats://a:1, tls://b:2" }), { servers: ["a:1", "b:2"], tls: true });
  const named = { ...one, user: "pool", password: "p@ss" };
  assert.deepEqual(natsOptions({ NATS_URL: "nats://pool:p%40ss@127.0.0.1:4222" }), named);
  const variables = { NATS_URL: "nats://127.0.0.1", NATS_USER: "pool", NATS_PASSWORD: "p@ss" };
  assert.deepEqual(natsOptions(variables), named);
  assert.deepEqual(natsOptions({ NATS_URL: "nats://t0ken@127.0.0.1" }), { ...one, token: "t0ken" });
  assert.deepEqual(natsOptions({ NATS_URL: "nats://127.0.0.1", NATS_TOKEN: "t" }), { ...one, token: "t" });
  assert.deepEqual(natsOptions({ NATS_URL: "nats://127.0.0.1", NATS_CREDS: "u.creds" }), {
    ...one,
    credsFile: "u.creds",
  });
});

test("invalid values are refused, without the secret", () => {
  const wrong = [
    { NATS_URL: "s3cret" },
    { NATS_URL: "http://user:s3cret@nats" },
    { NATS_URL: "nats://user:s3cret%zz@nats" },
    { NATS_URL: "nats://nats", NATS_USER: "s3cret" },
  ];
  for (const variables of wrong) {
    assert.throws(
      () => natsOptions(variables),
      (error) =>
        error instanceof GradpoolError &&
        error.code === "invalid_argument" &&
        error.message.startsWith("NATS_") &&
        !/s3cret|\n/.test(error.message),
    );
  }
});

test("a missing NATS is unavailable, and so is a missing creds file", async () => {
  const nowhere = { servers: ["127.0.0.1:1"], tls: false, user: "pool", password: "s3cret" };
  for (const options of [nowhere, { ...nowhere, credsFile: "no-such.creds" }]) {
    await assert.rejects(
      JetStream.connect(options),
      (error) => error instanceof GradpoolError && error.code === "unavailable" && !/s3cret|\n/.test(error.message),
    );
  }
});
