import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { describe, it } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { readTrainerConfig } from "../src/config.js";
import { cpuClass, cpuDevice } from "../src/device.js";

const coordinator = { GRADPOOL_COORDINATOR_ADDRESS: "127.0.0.1:7070" };

describe("the trainer's configuration", () => {
  it("has defaults for everything but the coordinator", () => {
    const { listen, coordinatorAddress, trainerId, threads } = readTrainerConfig(coordinator);
    assert.deepEqual([listen, coordinatorAddress, threads], ["127.0.0.1:0", "127.0.0.1:7070", availableParallelism()]);
    assert.ok(trainerId.endsWith(`-${process.pid}`));
    const given = readTrainerConfig({ ...coordinator, GRADPOOL_TRAINER_ID: "a", GRADPOOL_THREADS: "3" });
    assert.deepEqual([given.trainerId, given.threads], ["a", 3]);
  });

  for (const [variable, value] of [
    ["GRADPOOL_COORDINATOR_ADDRESS", undefined],
    ["GRADPOOL_COORDINATOR_ADDRESS", "nonsense"],
    ["GRADPOOL_THREADS", "0"],
    ["GRADPOOL_THREADS", "1.5"],
    ["GRADPOOL_THREADS", "many"],
    ["GRADPOOL_THREADS", ""],
    ["GRADPOOL_TRAINER_ID", ""],
    ["GRADPOOL_TRAINER_ID", "two words"],
  ] as const) {
    it(`names ${variable} when it is ${JSON.stringify(value)}`, () => {
      assert.throws(
        () => readTrainerConfig({ ...coordinator, [variable]: value }),
        (error) =>
          error instanceof GradpoolError && error.code === "invalid_argument" && error.message.startsWith(variable),
      );
    });
  }
});

describe("the device class", () => {
  it("names the instruction set that decides the bits", () => {
    const x64 = (flags: string) =>
      cpuClass("x64", `model name\t: Some CPU\nflags\t\t: ${flags}\nbugs\t: none\n`, "Some CPU");
    assert.equal(x64("sse2 avx fma avx2 avx512f avx512_vnni"), "cpu-x64-avx512");
    assert.equal(x64("sse2 avx fma avx2"), "cpu-x64-avx2");
    assert.equal(x64("sse2 avx avx2"), "cpu-x64-avx");
    assert.equal(x64("sse2"), "cpu-x64-sse2");
    assert.equal(cpuClass("arm64", "Features\t: fp asimd sve\n", ""), "cpu-arm64-sve");
    assert.equal(cpuClass("arm64", "Features\t: fp asimd\n", ""), "cpu-arm64-neon");
  });

  it("is the model's where nothing tells the instruction set", () => {
    assert.equal(cpuClass("arm64", "", "Apple M2 Pro"), "cpu-arm64-apple-m2-pro");
    assert.equal(cpuClass("x64", "", ""), "cpu-x64-unknown");
  });

  it("comes with the memory that the process may use", async () => {
    const { device, memoryBytes } = await cpuDevice();
    assert.equal(device, "cpu");
    assert.ok(memoryBytes > 2 ** 28 && memoryBytes < 2 ** 50);
  });
});
