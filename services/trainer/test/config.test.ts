import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { describe, it } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { readTrainerConfig } from "../src/config.js";
import { chooseDevice, cpuClass, cpuDevice, cudaClass, webGpuClass } from "../src/device.js";
import { quiet } from "./helpers.js";

const coordinator = { GRADPOOL_COORDINATOR_ADDRESS: "127.0.0.1:7070" };

describe("the trainer's configuration", () => {
  it("has defaults for everything but the coordinator", () => {
    const { listen, coordinatorAddresses, trainerId, threads } = readTrainerConfig(coordinator);
    assert.deepEqual([listen, threads], ["127.0.0.1:0", availableParallelism()]);
    assert.deepEqual(coordinatorAddresses, ["127.0.0.1:7070"]);
    assert.ok(trainerId.endsWith(`-${process.pid}`));
    const given = readTrainerConfig({ ...coordinator, GRADPOOL_TRAINER_ID: "a", GRADPOOL_THREADS: "3" });
    assert.deepEqual([given.trainerId, given.threads], ["a", 3]);
  });

  it("takes several coordinators, each once", () => {
    const { coordinatorAddresses } = readTrainerConfig({ GRADPOOL_COORDINATOR_ADDRESS: "a:7070,[::1]:7070,a:7070" });
    assert.deepEqual(coordinatorAddresses, ["a:7070", "[::1]:7070"]);
  });

  it("takes a device by its name", () => {
    const deviceOf = (GRADPOOL_DEVICE?: string) =>
      readTrainerConfig({ ...coordinator, ...(GRADPOOL_DEVICE !== undefined && { GRADPOOL_DEVICE }) }).device;
    assert.deepEqual(deviceOf(), { kind: "auto" });
    assert.deepEqual(deviceOf("cpu"), { kind: "cpu" });
    assert.deepEqual(deviceOf("cuda"), { kind: "cuda", index: undefined });
    assert.deepEqual(deviceOf("cuda:3"), { kind: "cuda", index: 3 });
  });

  for (const [variable, value] of [
    ["GRADPOOL_COORDINATOR_ADDRESS", undefined],
    ["GRADPOOL_COORDINATOR_ADDRESS", "nonsense"],
    ["GRADPOOL_COORDINATOR_ADDRESS", "a:7070,"],
    ["GRADPOOL_COORDINATOR_ADDRESS", "a:7070, b:7070"],
    ["GRADPOOL_THREADS", "0"],
    ["GRADPOOL_THREADS", "1.5"],
    ["GRADPOOL_THREADS", "many"],
    ["GRADPOOL_THREADS", ""],
    ["GRADPOOL_TRAINER_ID", ""],
    ["GRADPOOL_TRAINER_ID", "two words"],
    ["GRADPOOL_TRAINER_ID", "i".repeat(129)],
    ["GRADPOOL_DEVICE", ""],
    ["GRADPOOL_DEVICE", "gpu"],
    ["GRADPOOL_DEVICE", "cuda:-1"],
    ["GRADPOOL_DEVICE", "cuda:1.5"],
    ["GRADPOOL_DEVICE", "cuda:"],
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

  it("is the model's where the instruction set is unknown", () => {
    assert.equal(cpuClass("arm64", "", "Apple M2 Pro"), "cpu-arm64-apple-m2-pro");
    assert.equal(cpuClass("x64", "", ""), "cpu-x64-unknown");
  });

  it("names everything that a CUDA device's bits depend on", () => {
    const device = {
      index: 0,
      name: "NVIDIA H100 80GB HBM3",
      memoryBytes: 2 ** 36,
      driverVersion: "580.159.04",
      computeCapability: "9.0",
      cublasVersion: "13.1.0.3",
    };
    const expected = "cuda-nvidia-h100-80gb-hbm3-sm90-driver580.159.04-cublas13.1.0.3";
    assert.equal(cudaClass(device, false), expected);
    assert.equal(cudaClass(device, true), `${expected}-tf32`);
    const unknown = { ...device, driverVersion: "", computeCapability: "", cublasVersion: "" };
    assert.equal(cudaClass(unknown, false), "cuda-nvidia-h100-80gb-hbm3");
  });

  it("names everything that a WebGPU adapter's bits depend on", () => {
    const adapter = {
      ...({ index: 0, name: "AMD Radeon RX 7600 (RADV NAVI33)", backend: "Vulkan", driver: "0123456789ab" } as const),
      ...{ isSoftware: false, memoryBytes: 2 ** 33, largestBuffer: 2 ** 32, float16: true, environment: {} },
    };
    const processor = { device: "cpu", deviceClass: "cpu-x64-avx2", memoryBytes: 1, largestBufferBytes: 0 };
    const expected = "webgpu-vulkan-amd-radeon-rx-7600-radv-navi33-driver0123456789ab";
    assert.equal(webGpuClass(adapter, processor), expected);
    const computed = { ...adapter, name: "llvmpipe (LLVM 19.1.7, 256 bits)", isSoftware: true, driver: "" };
    assert.equal(webGpuClass(computed, processor), "webgpu-vulkan-llvmpipe-llvm-19-1-7-256-bits-cpu-x64-avx2");
  });

  it("comes with the memory that the process may use", async () => {
    const { device, memoryBytes } = await cpuDevice();
    assert.equal(device, "cpu");
    assert.ok(memoryBytes > 2 ** 28 && memoryBytes < 2 ** 50);
  });
});

describe("the trainer's device", { skip: process.platform !== "linux" || process.arch !== "x64" }, () => {
  /** An environment without NVIDIA: no nvidia-smi in PATH, no device that may be used. */
  const env = { PATH: "", CUDA_VISIBLE_DEVICES: "", VK_DRIVER_FILES: "/no/such/file" };

  it("is the processor, with a log line that says why, where CUDA cannot be used", async () => {
    const lines: unknown[] = [];
    const log = { info: (fields: unknown) => lines.push(fields) } as unknown as typeof quiet;
    const { device, gpu } = await chooseDevice({ device: { kind: "auto" }, env }, log);
    assert.deepEqual([device, gpu], ["cpu", undefined]);
    assert.match((lines[0] as { reason: string }).reason, /NVIDIA|CUDA/);
    assert.equal(lines.length, 1);
  });

  it("is never the processor when CUDA was requested", async () => {
    for (const index of [undefined, 0, 1]) {
      await assert.rejects(
        chooseDevice({ device: { kind: "cuda", index }, env }, quiet),
        (error) => error instanceof GradpoolError && error.code === "failed_precondition" && !/\n/.test(error.message),
      );
    }
  });
});
