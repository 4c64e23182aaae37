/** gradpool doctor, and which device each trainer of a stack gets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { nodeCheck, portsCheck, type Check } from "../src/doctor/checks.js";
import { trainerDevices } from "../src/local-stack/trainer-devices.js";
import { startFakePool, trainerOf } from "./fake-pool.js";
import { run, withFolder } from "./support.js";

const NEEDS_LINUX = { skip: process.platform === "linux" && process.arch === "x64" ? false : "is for Linux on x64" };

const VK_DRIVER_FILES = process.env["GRADPOOL_TEST_VULKAN"];
const NEEDS_VULKAN = { skip: VK_DRIVER_FILES ? false : "needs chromium's SwiftShader and libvulkan1" };

interface Answer {
  ok: boolean;
  checks: (Check & { name: string })[];
  error?: { code: string; message: string };
}

/** An environment in which no GPU is found. */
const NO_GPU = { PATH: "", CUDA_VISIBLE_DEVICES: "", VK_DRIVER_FILES: "/no/such/file" };

/** Runs it with no GPU to be found, unless `env` says otherwise. */
async function doctor(flags: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: number | null } & Answer> {
  const { code, stdout } = await run(["doctor", "--json", ...flags], { ...NO_GPU, ...env });
  return { code, ...(JSON.parse(stdout) as Answer) };
}

const checkOf = ({ checks }: Answer, name: string) => checks.find((check) => check.name === name);

/** A folder for PATH whose nvidia-smi runs this shell script. */
async function withNvidiaSmi(script: string, work: (PATH: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await writeFile(join(folder, "nvidia-smi"), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, "nvidia-smi"), 0o755);
    await work(folder);
  });
}

const LISTS_TWO = `
echo '0, GPU-aaaa, Fake GPU, 16384, 580.95.05, 9.0'
echo '1, GPU-bbbb, Fake GPU, 16384, 580.95.05, 9.0'`;

describe("gradpool doctor", { timeout: 120_000 }, () => {
  test("finds a machine that can train, without CUDA too", async () => {
    await withFolder(async (home) => {
      const answer = await doctor([], { GRADPOOL_HOME: join(home, "not", "there", "yet") });
      assert.equal(answer.code, 0);
      assert.ok(answer.ok);
      const names = answer.checks.map(({ name }) => name);
      const machine = ["node", "platform", "cores", "memory", "disk", "hub cache", "onnx runtime", "cuda", "webgpu"];
      assert.deepEqual(names, [...machine, "ports", "pool"]);
      assert.equal(checkOf(answer, "node")?.text, process.versions.node);
      assert.match(checkOf(answer, "onnx runtime")?.text ?? "", /^1\.\d+\.\d+$/);
      assert.match(checkOf(answer, "disk")?.text ?? "", /^[\d.]+ .?B free at .*not\/there\/yet$/);
      const cuda = checkOf(answer, "cuda");
      assert.equal(cuda?.state, "note");
      assert.match(cuda.text, /^[^\n]*(NVIDIA|CUDA)[^\n]*; [^\n]+$/);
    });
  });

  test("says it in one line each for people", async () => {
    const { code, stdout, stderr } = await run(["doctor"], NO_GPU);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(stdout.trimEnd().split("\n").length, 11);
    assert.match(stdout, /^cuda {10}note: .*(CUDA|NVIDIA)/m);
  });

  test("says why WebGPU cannot be used", NEEDS_LINUX, async () => {
    const webGpu = async (env: NodeJS.ProcessEnv) => checkOf(await doctor([], env), "webgpu");
    assert.deepEqual(await webGpu({}), {
      name: "webgpu",
      state: "note",
      text: "there is no Vulkan driver; install your GPU's, with libvulkan1, or use --device cpu",
    });
    await withFolder(async (folder) => {
      const manifest = join(folder, "icd.json");
      await writeFile(manifest, '{ "ICD": { "library_path": "./libvulkan_missing.so" } }');
      const check = await webGpu({ VK_DRIVER_FILES: manifest });
      assert.equal(check?.state, "note");
      assert.match(check.text, /^no Vulkan driver works \(missing: [^\n]+\); use --device cpu$/);
    });
  });

  test("names WebGPU's adapters", NEEDS_VULKAN, async () => {
    const { state, text } = checkOf(await doctor([], { VK_DRIVER_FILES }), "webgpu") ?? assert.fail();
    assert.equal(state, "ok");
    const facts = /\(Vulkan, driver [0-9a-f]{12}; buffers up to 1\.1 GB; no float16; computed by the processor/;
    assert.match(text, /^works: webgpu:0 is SwiftShader Device.*, [\d.]+ GB \(/);
    assert.match(text, facts);
  });

  test("fails when training on the CPU is impossible, and says why", NEEDS_LINUX, async () => {
    // A file system without any room.
    const answer = await doctor([], { GRADPOOL_HOME: "/proc/gradpool" });
    assert.equal(answer.code, 1);
    assert.equal(answer.ok, false);
    assert.equal(checkOf(answer, "disk")?.state, "problem");
    assert.match(answer.error?.message ?? "", /cannot train here; fix disk above/);
    assert.equal(nodeCheck("20.18.3").state, "problem");
    assert.equal(nodeCheck("18.20.0").state, "problem");
    for (const version of ["20.19.0", "22.0.0", "24.1.0"]) assert.equal(nodeCheck(version).state, "ok");
  });

  test("repeats what a broken driver says", NEEDS_LINUX, async () => {
    await withNvidiaSmi(
      "echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18",
      async (PATH) => {
        const answer = await doctor([], { PATH });
        assert.equal(answer.code, 0);
        assert.match(
          checkOf(answer, "cuda")?.text ?? "",
          /^nvidia-smi fails \(Failed to initialize NVML: .*\); repair/,
        );
      },
    );
  });

  test("asks the pool that commands would use", async () => {
    const getPool = async () => ({
      services: [{ name: "tokenizer", address: "x:1", serving: false, problem: "gone", startedAt: undefined }],
      trainers: [trainerOf(), trainerOf({ trainerId: "trainer-2" })],
      activeRuns: 0,
      pausedRuns: 0,
    });
    await using pool = await startFakePool({ pool: { getPool } });
    const found = checkOf(await doctor([], { GRADPOOL_ADDRESS: pool.address }), "pool");
    assert.equal(
      found?.text,
      `${pool.address} answers, with 2 trainers; not serving: tokenizer (see gradpool pool status)`,
    );
    const none = checkOf(await doctor([], { GRADPOOL_ADDRESS: "127.0.0.1:1" }), "pool");
    assert.equal(none?.state, "note");
    assert.match(none.text, /^none at 127\.0\.0\.1:1; .* gradpool up or --address/);
  });

  test("reports ports in use", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { state, text } = await portsCheck(port);
    server.close();
    assert.equal(state, "note");
    assert.match(text, new RegExp(`^${port}\\b.* in use`));
  });

  test("asks the hub only with --online", async () => {
    let status = 200;
    let asked = 0;
    const hub = createServer((_, response) => {
      asked += 1;
      response.writeHead(status).end("[]");
    }).listen(0, "127.0.0.1");
    await once(hub, "listening");
    const HF_ENDPOINT = `http://127.0.0.1:${(hub.address() as AddressInfo).port}/`;
    assert.equal(checkOf(await doctor([], { HF_ENDPOINT }), "hub"), undefined);
    assert.equal(asked, 0);
    assert.match(checkOf(await doctor(["--online"], { HF_ENDPOINT }), "hub")?.text ?? "", /:\d+ answers$/);
    status = 503;
    const away = await doctor(["--online"], { HF_ENDPOINT });
    assert.match(checkOf(away, "hub")?.text ?? "", /answers with status 503; check/);
    assert.equal(away.code, 0);
    hub.closeAllConnections();
    hub.close();
    await once(hub, "close");
    assert.match(checkOf(await doctor(["--online"], { HF_ENDPOINT }), "hub")?.text ?? "", /does not answer \(.*\); /);
  });
});

describe("the trainers of a stack", { ...NEEDS_LINUX, timeout: 120_000 }, () => {
  test("have a CUDA device each, and are refused when there are not enough", async () => {
    await withNvidiaSmi(LISTS_TWO, async (PATH) => {
      const cuda = { kind: "cuda", index: undefined } as const;
      assert.deepEqual(await trainerDevices(cuda, 2, { PATH }), ["cuda:0", "cuda:1"]);
      assert.deepEqual(await trainerDevices({ ...cuda, index: 1 }, 1, { PATH }), ["cuda:1"]);
      await assert.rejects(trainerDevices(cuda, 3, { PATH }), {
        code: "failed_precondition",
        message: /^3 trainers need .* there are 2 CUDA devices; use --trainers 2 or --device cpu$/,
      });
    });
  });

  test("all compute on the CPU when the device is auto and CUDA does not work", async () => {
    await withNvidiaSmi(LISTS_TWO, async (PATH) => {
      // The process that tries the device cannot even begin, whatever this machine has.
      const env = { PATH, VK_DRIVER_FILES: "/no/such/file", NODE_OPTIONS: "--no-such-flag" };
      for (const trainers of [2, 3]) {
        const notes: string[] = [];
        const devices = await trainerDevices({ kind: "auto" }, trainers, env, (text) => notes.push(text));
        assert.deepEqual(new Set(devices), new Set(["cpu"]));
        assert.equal(devices.length, trainers);
        assert.equal(notes.length, 1);
        assert.match(notes[0] ?? "", /^training on the CPU: .*; .*$/);
      }
    });
  });

  test("compute on the CPU, without a note, when there is no driver", async () => {
    const notes: string[] = [];
    const env = NO_GPU;
    assert.deepEqual(await trainerDevices({ kind: "auto" }, 2, env, (text) => notes.push(text)), ["cpu", "cpu"]);
    assert.deepEqual(await trainerDevices({ kind: "cpu" }, 1, env), ["cpu"]);
    assert.deepEqual(notes, []);
    await assert.rejects(trainerDevices({ kind: "cuda", index: undefined }, 1, env), /NVIDIA|CUDA/);
  });

  test(
    "compute on WebGPU where that is asked for, and with auto on no processor that looks like a GPU",
    NEEDS_VULKAN,
    async () => {
      const env = { ...NO_GPU, VK_DRIVER_FILES };
      assert.deepEqual(await trainerDevices({ kind: "webgpu", adapter: "swift" }, 1, env), ["webgpu:swift"]);
      assert.deepEqual(await trainerDevices({ kind: "auto" }, 1, env), ["cpu"]);
    },
  );
});
