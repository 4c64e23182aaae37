import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createClient, DataStreamServiceService } from "@gradpool/rpc";
import type { ServiceMessage } from "@gradpool/service-kit";
import { collect, SPEC } from "./helpers.js";
import { key, keyed } from "./key.js";

const MAIN = fileURLToPath(new URL("../bin/main.js", import.meta.url));

function start(env: Record<string, string>) {
  const service = fork(MAIN, {
    env: { ...process.env, GRADPOOL_KEY: key.reveal(), ...env, GRADPOOL_LOG_LEVEL: "silent" },
    stdio: "pipe",
  });
  const message = once(service, "message").then(([first]) => first as ServiceMessage);
  return { service, message, exited: once(service, "exit") };
}

describe("the service's process", () => {
  it("says where it listens, serves, and ends with its parent", async () => {
    const { service, message, exited } = start({
      GRADPOOL_TOKENIZER_ADDRESS: "127.0.0.1:1",
      GRADPOOL_HOME: "/dev/null/none",
    });
    const ready = await message;
    assert.ok(ready.type === "ready");
    const client = createClient(DataStreamServiceService, ready.address, keyed);
    const [last] = (await collect(client.describeDataset({ dataset: SPEC }))).slice(-1);
    assert.equal(last?.rows, 2);
    client.close();
    service.disconnect();
    assert.deepEqual(await exited, [0, null]);
  });

  it("names the variable that is missing", async () => {
    const { message, exited } = start({ GRADPOOL_TOKENIZER_ADDRESS: "nonsense" });
    const failed = await message;
    assert.ok(failed.type === "failed" && failed.code === "invalid_argument");
    assert.match(failed.message, /GRADPOOL_TOKENIZER_ADDRESS/);
    assert.deepEqual(await exited, [1, null]);
  });
});
