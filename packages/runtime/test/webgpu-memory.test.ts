import assert from "node:assert/strict";
import { test } from "node:test";
import { expand, gather, Graph } from "@gradpool/graph";
import { Session } from "../src/session.js";

const driver = process.env["VK_DRIVER_FILES"] ?? process.env["GRADPOOL_TEST_VULKAN"];
const skip = driver === undefined && "needs a Vulkan driver: chromium's SwiftShader and libvulkan1, or VK_DRIVER_FILES";

test("a GPU refuses what is too large, and computes on", { skip }, async () => {
  process.env["VK_DRIVER_FILES"] = driver;
  const graph = new Graph();
  const rows = expand(graph.input("x", "float32", [1, 1]), ["N", 1024]);
  graph.output("y", gather(rows, graph.literal(BigInt64Array.of(0n), [1])));
  await using session = await Session.create(graph, { weightsDir: "/" }, { threads: 1, gpu: { provider: "webgpu" } });
  const run = async (N: number) => {
    const outputs = await session.run({ N }, new Map([["x", Float32Array.of(7)]]));
    return outputs.get("y")?.data[5];
  };
  assert.equal(await run(3), 7);
  // Whether it is refused before memory is asked for is up to the driver.
  const tooLarge = /^(out of GPU memory|the GPU takes no tensor above 1\.1 GB, and one has 4\.3 GB); lower batch_size/;
  await assert.rejects(run(2 ** 20), { code: "resource_exhausted", message: tooLarge });
  assert.equal(await run(4), 7);
});
