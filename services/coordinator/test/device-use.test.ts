import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DEVICE_USE_WINDOW_MS, DeviceUse } from "../src/device-use.js";

describe("device use", () => {
  test("is the share of the time since the trainer connected, then of the window", () => {
    const use = new DeviceUse(1_000);
    assert.equal(use.share(1_000), 0);
    use.finished(4_000, 6_000);
    assert.equal(use.share(9_000), 0.5);
    assert.equal(use.share(5_000 + DEVICE_USE_WINDOW_MS), 1_000 / DEVICE_USE_WINDOW_MS);
    assert.equal(use.share(6_000 + DEVICE_USE_WINDOW_MS), 0);
  });

  test("counts a micro-batch that is longer than the window while it computes", () => {
    const use = new DeviceUse(0);
    use.computing("a", 10_000);
    use.computing("a", 90_000);
    assert.equal(use.share(100_000), 1);
    use.finished(95_000, 105_000);
    assert.equal(use.share(105_000 + DEVICE_USE_WINDOW_MS / 2), 0.5);
    use.computing("b", 150_000);
    use.computing("", 151_000);
    assert.equal(use.share(160_000), 0);
  });

  test("never exceeds 1, whatever a trainer says it took", () => {
    const use = new DeviceUse(0);
    for (const nowMs of [100, 200, 300]) use.finished(1e9, nowMs);
    assert.equal(use.share(300), 1);
    use.finished(-5, 400);
    assert.equal(use.share(400), 0.75);
  });
});
