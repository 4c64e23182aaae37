import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { watchExpiry } from "../src/certificate-expiry.js";

const NAME = "gradpool_certificate_expiry_timestamp_seconds";
const files = { ca: "/ca.crt", cert: "/server.crt", key: "/server.key" };

async function watched(tls: Parameters<typeof watchExpiry>[0]): Promise<{ said: unknown[]; metrics: string }> {
  const said: unknown[] = [];
  const metrics = new Registry();
  using _ = watchExpiry(tls, metrics, { warn: (notice: unknown) => void said.push(notice) });
  return { said, metrics: await metrics.metrics() };
}

test("the log and the metrics tell when a service's certificate expires", async () => {
  const tls = { files, expiresAt: new Date(1_800_000_000_500), expiryNotice: () => "it expires soon; renew it" };
  const { said, metrics } = await watched(tls);
  assert.deepEqual(said, ["it expires soon; renew it"]);
  assert.match(metrics, new RegExp(`^${NAME}\\{file="/server.crt"\\} 1800000000.5$`, "m"));
});

test("nothing is said while there is time, or without a certificate", async () => {
  assert.deepEqual((await watched({ files, expiresAt: new Date(), expiryNotice: () => "" })).said, []);
  const { said, metrics } = await watched(undefined);
  assert.deepEqual(said, []);
  assert.ok(metrics.includes(`# TYPE ${NAME} gauge`) && !metrics.includes(`${NAME}{`));
});
