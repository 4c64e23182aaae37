import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { ServiceMessage } from "@gradpool/service-kit";
import { TestGateway } from "./gateway.js";
import { adapterFile, taskOf } from "./helpers.js";
import { key } from "./key.js";

const MAIN = fileURLToPath(new URL("../bin/main.js", import.meta.url));

function start(env: Record<string, string>) {
  const service = fork(MAIN, {
    env: { ...process.env, GRADPOOL_KEY: key.reveal(), ...env, GRADPOOL_LOG_LEVEL: "silent" },
    stdio: "pipe",
  });
  const message = once(service, "message").then(([first]) => first as ServiceMessage);
  return { service, message, exited: once(service, "exit") };
}

describe("the trainer's process", { timeout: 120_000 }, () => {
  it("finishes and pushes the current micro-batch on SIGTERM", async () => {
    await using gateway = await TestGateway.start({ heartbeatMs: 20 });
    gateway.adapters.set("run/0", adapterFile(8, 1));
    const { service, message, exited } = start({ GRADPOOL_COORDINATOR_ADDRESS: gateway.address });
    assert.equal((await message).type, "ready");
    await gateway.until(() => gateway.room === 2);
    gateway.sendTask(taskOf("last", { rows: 8, rowLength: 256 }));
    await gateway.until(() => gateway.heartbeats.some(({ taskId }) => taskId === "last"));
    service.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
    assert.deepEqual([gateway.results[0]?.header.taskId, gateway.goodbyes], ["last", 1]);
  });

  it("ends with its parent, with no coordinator to dial", async () => {
    const { service, message, exited } = start({ GRADPOOL_COORDINATOR_ADDRESS: "127.0.0.1:1" });
    assert.equal((await message).type, "ready");
    service.disconnect();
    assert.deepEqual(await exited, [0, null]);
  });

  it("does not start, and says why in one line, when its device is not available", async () => {
    const { message, exited } = start({
      GRADPOOL_COORDINATOR_ADDRESS: "127.0.0.1:1",
      GRADPOOL_DEVICE: "cuda:0",
      PATH: "",
      CUDA_VISIBLE_DEVICES: "",
    });
    const failed = await message;
    assert.ok(failed.type === "failed" && failed.code === "failed_precondition");
    assert.match(failed.message, /^[^\n]*(NVIDIA|CUDA)[^\n]*; [^\n]*--device cpu[^\n]*$/);
    assert.deepEqual(await exited, [1, null]);
  });

  it("names the variable that is missing", async () => {
    const { message, exited } = start({});
    const failed = await message;
    assert.ok(failed.type === "failed" && failed.code === "invalid_argument");
    assert.match(failed.message, /GRADPOOL_COORDINATOR_ADDRESS/);
    assert.deepEqual(await exited, [1, null]);
  });
});
