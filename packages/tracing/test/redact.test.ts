/** What must not appear in a log line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { redactor } from "@gradpool/tracing";

const SECRET = 'pa"ss\\word-1';
const redact = redactor({
  HF_TOKEN: "hub-token-in-env",
  NATS_PASSWORD: SECRET,
  OTEL_EXPORTER_OTLP_HEADERS: "authorization=abcdefgh1,x=y",
  SHORT_TOKEN: "abc",
  HOME: "/home-of-somebody",
});

test("secrets of the environment, also within JSON", () => {
  assert.equal(redact("the token hub-token-in-env is wrong"), "the token [redacted] is wrong");
  assert.equal(redact(JSON.stringify({ password: SECRET })), '{"password":"[redacted]"}');
  assert.equal(redact("sent abcdefgh1"), "sent [redacted]");
  assert.equal(redact("abc is in /home-of-somebody"), "abc is in /home-of-somebody");
});

test("a long text is redacted quickly", () => {
  const text = "a.".repeat(500_000);
  assert.equal(redact(text), text);
});

test("secrets by their form", () => {
  assert.equal(redact("hf_AbCdEfGhIjKlMnOpQr is refused"), "[redacted] is refused");
  assert.equal(
    redact("nats://me:hidden@host:4222 and https://tok@host/x"),
    "nats://[redacted]@host:4222 and https://[redacted]@host/x",
  );
  assert.equal(redact("Authorization: Bearer eyJhbGciOi.J9"), "Authorization: Bearer [redacted]");
  assert.equal(redact("see https://host/a@b"), "see https://host/a@b");
});
