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

test("encryption, an nkey and a domain, under the names that the nats command uses", () => {
  const where = { NATS_URL: "nats://nats", NATS_JS_DOMAIN: "hub", NATS_NKEY: "user.nk" };
  const plain = { servers: ["nats:4222"], tls: false, domain: "hub", nkeyFile: "user.nk" };
  assert.deepEqual(natsOptions(where), plain);
  assert.deepEqual(natsOptions({ ...where, NATS_CA: "ca.pem" }), { ...plain, tls: true, caFile: "ca.pem" });
  const pair = { NATS_CERT: "c.pem", NATS_KEY: "k.pem", NATS_TLS_FIRST: "true" };
  const mutual = { ...plain, tls: true, certFile: "c.pem", keyFile: "k.pem", tlsFirst: true };
  assert.deepEqual(natsOptions({ ...where, ...pair }), mutual);
});

test("invalid values are refused, without the secret", () => {
  const wrong = [
    { NATS_URL: "s3cret" },
    { NATS_URL: "http://user:s3cret@nats" },
    { NATS_URL: "nats://user:s3cret%zz@nats" },
    { NATS_URL: "nats://nats", NATS_USER: "s3cret" },
    { NATS_URL: "nats://nats", NATS_CERT: "s3cret" },
    { NATS_URL: "nats://nats", NATS_KEY: "s3cret" },
    { NATS_URL: "nats://nats", NATS_TLS_FIRST: "s3cret" },
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
