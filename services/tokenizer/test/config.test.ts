import assert from "node:assert/strict";
import { test } from "node:test";
import { modelPlaces } from "@gradpool/hub";
import { readTokenizerConfig } from "../src/config.js";

test("the environment's settings, and invalid numbers of threads", () => {
  const env = { GRADPOOL_LISTEN: "127.0.0.1:7071", GRADPOOL_WORKERS: "3", GRADPOOL_HOME: "/srv/gradpool" };
  const config = readTokenizerConfig(env);
  assert.deepEqual(config, { listen: "127.0.0.1:7071", workers: 3, models: modelPlaces(env) });
  assert.equal(config.models.cacheDir, "/srv/gradpool/cache");
  assert.ok(readTokenizerConfig({}).workers >= 1);
  for (const workers of ["0", "-1", "1.5", "many", "", "1000"]) {
    assert.throws(() => readTokenizerConfig({ GRADPOOL_WORKERS: workers }), {
      code: "invalid_argument",
      message: /^GRADPOOL_WORKERS: /,
    });
  }
});
