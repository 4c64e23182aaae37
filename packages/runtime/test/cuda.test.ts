/** What is said of CUDA where it cannot be used, with the words of the real loader and the real ONNX Runtime. */
import assert from "node:assert/strict";
import { chmod, copyFile, cp, link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { listCudaDevices } from "../src/cuda/devices.js";
import { requireCudaDevice } from "../src/cuda/usable.js";
import { sharedLibrary } from "./elf.js";

const require = createRequire(import.meta.url);
const HAS_CUDA = process.platform === "linux" && process.arch === "x64";
const LIBRARIES = "bin/napi-v6/linux/x64";
const SHARED = "libonnxruntime_providers_shared.so";
const PROVIDER = "libonnxruntime_providers_cuda.so";
const TWO_DEVICES = [
  "0, GPU-11111111-aaaa, NVIDIA A10G, 23028, 580.95.05, 8.6",
  "1, GPU-22222222-bbbb, NVIDIA H100 80GB HBM3, 81559, 580.95.05, 9.0",
];

describe("CUDA", { skip: HAS_CUDA ? false : "is for Linux on x64", timeout: 120_000 }, () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gradpool-cuda-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** An environment whose nvidia-smi is this shell script, or in which there is none. */
  async function environment(script?: string): Promise<NodeJS.ProcessEnv> {
    const bin = await mkdtemp(join(folder, "bin-"));
    if (script !== undefined) {
      await writeFile(join(bin, "nvidia-smi"), `#!/bin/sh\n${script}\n`);
      await chmod(join(bin, "nvidia-smi"), 0o755);
    }
    return { PATH: bin };
  }
  const listing = (lines: readonly string[]) => environment(lines.map((line) => `echo '${line}'`).join("\n"));

  /** A copy of onnxruntime-node with these files beside its library; gives its main file. */
  async function onnxRuntimeWith(libraries: Readonly<Record<string, Uint8Array>>): Promise<string> {
    const from = dirname(require.resolve("onnxruntime-node/package.json"));
    const modules = join(await mkdtemp(join(folder, "ort-")), "node_modules");
    const to = join(modules, "onnxruntime-node");
    await mkdir(join(to, LIBRARIES), { recursive: true });
    for (const file of ["package.json", "dist"]) await cp(join(from, file), join(to, file), { recursive: true });
    for (const file of ["libonnxruntime.so.1", "onnxruntime_binding.node"]) {
      const paths = [join(from, LIBRARIES, file), join(to, LIBRARIES, file)] as const;
      // 45 MB, and the loader follows symbolic links to the place where a provider may be.
      await link(...paths).catch(() => copyFile(...paths));
    }
    for (const [name, bytes] of Object.entries(libraries)) await writeFile(join(to, LIBRARIES, name), bytes);
    const name = "onnxruntime-common";
    const common = createRequire(join(from, "package.json")).resolve(name);
    await symlink(common.slice(0, common.lastIndexOf(name) + name.length), join(modules, name));
    return createRequire(join(modules, "main.js")).resolve("onnxruntime-node");
  }

  const refusal = (line: RegExp) => (error: unknown) => {
    assert.ok(error instanceof GradpoolError, String(error));
    assert.equal(error.code, "failed_precondition");
    assert.match(error.message, line);
    assert.match(error.message, /^[^\n]+; [^\n]+$/);
    return true;
  };
  const NO_FOLDER = "/no/such/folder";

  describe("devices", () => {
    test("are nvidia-smi's", async () => {
      const devices = await listCudaDevices(await listing(TWO_DEVICES));
      assert.deepEqual(devices[1], {
        index: 1,
        name: "NVIDIA H100 80GB HBM3",
        memoryBytes: 81559 * 2 ** 20,
        driverVersion: "580.95.05",
        computeCapability: "9.0",
      });
      assert.equal(devices.length, 2);
    });

    test("are those that CUDA_VISIBLE_DEVICES leaves, in its order", async () => {
      const names = async (CUDA_VISIBLE_DEVICES: string) => {
        const devices = await listCudaDevices({ ...(await listing(TWO_DEVICES)), CUDA_VISIBLE_DEVICES });
        return devices.map(({ index, name }) => `${index} ${name}`);
      };
      assert.deepEqual(await names("1,0"), ["0 NVIDIA H100 80GB HBM3", "1 NVIDIA A10G"]);
      assert.deepEqual(await names("GPU-2222"), ["0 NVIDIA H100 80GB HBM3"]);
      assert.deepEqual(await names("1,7,0"), ["0 NVIDIA H100 80GB HBM3"]);
      for (const none of ["", "-1", "7"]) await assert.rejects(names(none), refusal(/hides all 2 devices; unset/));
    });

    test("are reported by the kernel module where nvidia-smi is missing", async () => {
      const gpu = join(folder, "proc", "gpus", "0000:01:00.0");
      await mkdir(gpu, { recursive: true });
      await writeFile(join(gpu, "information"), "Model: \t\t NVIDIA L4\nIRQ:   \t\t 16\nGPU UUID: \t GPU-3333\n");
      const version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Fri Jan 17\n";
      await writeFile(join(folder, "proc", "version"), version);
      const [device] = await listCudaDevices(await environment(), join(folder, "proc"));
      const unknown = { memoryBytes: 0, computeCapability: "" };
      assert.deepEqual(device, { index: 0, name: "NVIDIA L4", driverVersion: "570.86.15", ...unknown });
    });

    test("are none without a driver, with one that fails, and with one that talks nonsense", async () => {
      await assert.rejects(listCudaDevices(await environment(), NO_FOLDER), refusal(/there is no NVIDIA driver/));
      const failing = await environment(
        "echo 'NVIDIA-SMI has failed because it could not talk to the driver.'; exit 9",
      );
      await assert.rejects(listCudaDevices(failing, NO_FOLDER), refusal(/nvidia-smi fails \(NVIDIA-SMI has failed/));
      await assert.rejects(
        listCudaDevices(await listing(["No GPU"]), NO_FOLDER),
        refusal(/reports "No GPU" instead of/),
      );
      await assert.rejects(listCudaDevices(await environment(":"), NO_FOLDER), refusal(/lists no device/));
    });
  });

  describe("with a driver", () => {
    const refuses = async (libraries: Readonly<Record<string, Uint8Array>>, line: RegExp, more = {}) => {
      const env = { ...(await listing(TWO_DEVICES)), ...more };
      await assert.rejects(requireCudaDevice(0, env, await onnxRuntimeWith(libraries)), refusal(line));
    };
    const shared = sharedLibrary({ functions: ["Provider_SetHost", "Provider_GetHost"] });
    const providerThatNeeds = (...needed: string[]) => ({ [SHARED]: shared, [PROVIDER]: sharedLibrary({ needed }) });

    test("a device that is not there is refused by those that are", async () => {
      const env = await listing(TWO_DEVICES);
      await assert.rejects(requireCudaDevice(2, env), refusal(/no cuda:2, only cuda:0 \(NVIDIA A10G\), cuda:1 \(/));
    });

    test("the provider may be missing, as npm installs ONNX Runtime", async () => {
      await refuses({}, new RegExp(`provider is not installed \\(${SHARED} is missing\\); see docs/gpu\\.md`));
      await refuses(
        { [SHARED]: shared },
        new RegExp(`provider is not installed \\(${PROVIDER} is missing\\); see docs`),
      );
    });

    test("the provider may be cut off", async () => {
      await refuses(
        { [SHARED]: shared, [PROVIDER]: Buffer.from("\x7fELF") },
        /provider is damaged \(.*too short\); install it/,
      );
      await refuses(
        { [SHARED]: shared, [PROVIDER]: Buffer.alloc(4096) },
        /is damaged \(.*invalid ELF header\); install it/,
      );
    });

    test("CUDA may be missing, or of another major version", async () => {
      const line =
        /needs CUDA 913 \(libcublasLt\.so\.913\), and (no CUDA|only CUDA [\d and]+) is found; install CUDA 913/;
      await refuses(providerThatNeeds("libcublasLt.so.913"), line);
      const cuda = await mkdtemp(join(folder, "cuda-"));
      await writeFile(join(cuda, "libcublas.so.912.4"), "");
      const found = /only CUDA (\d+ and )*912 is found; install CUDA 913's libraries/;
      await refuses(providerThatNeeds("libcublasLt.so.913"), found, { LD_LIBRARY_PATH: cuda });
    });

    test("any other library may be missing", async () => {
      await refuses(providerThatNeeds("libgradpool-test.so.9"), /provider needs libgradpool-test\.so\.9, which is not/);
    });

    test("a provider that is something else is refused", async () => {
      await refuses(providerThatNeeds(), /cannot use cuda:0 \(/);
    });
  });
});
