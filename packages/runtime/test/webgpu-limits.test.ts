/** WebGPU at the limits of a device, and when that is gone, on a driver that has both: scripts/vulkan-shim.c. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { expand, gather, Graph, matmul } from "@gradpool/graph";
import { chooseGpu, LostDeviceError, type Gpu } from "../src/index.js";
import { Session } from "../src/session.js";

const SHIM = fileURLToPath(new URL("../../../../scripts/vulkan-shim.sh", import.meta.url));
const driver = process.env["VK_DRIVER_FILES"] ?? process.env["GRADPOOL_TEST_VULKAN"];
const MIB = 2 ** 20;
/** The least that WebGPU guarantees. */
const LARGEST_BINDING = 128 * MIB;
const NAME = "Imaginary GPU";

function reasonToSkip(): false | string {
  if (driver === undefined) return "needs a Vulkan driver: chromium's SwiftShader and libvulkan1, or VK_DRIVER_FILES";
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "needs a C compiler, for scripts/vulkan-shim.c";
  }
}

describe("WebGPU", { skip: reasonToSkip(), timeout: 300_000 }, () => {
  let folder: string;
  let gpu: Gpu;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gradpool-shim-"));
    const VK_DRIVER_FILES = execFileSync(SHIM, [folder, driver ?? ""], { encoding: "utf8" }).trim();
    const limits = { SHIM_NAME: NAME, SHIM_BINDING: `${LARGEST_BINDING}`, SHIM_LOST: join(folder, "lost") };
    Object.assign(process.env, { VK_DRIVER_FILES, ...limits });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const create = (graph: Graph) => Session.create(graph, { weightsDir: folder }, { threads: 1, gpu });

  /** Rows of a table [rows, 1024] of numbers that tell the rows apart. */
  async function table(rows: number): Promise<Graph> {
    const data = new Float32Array(rows * 1024);
    for (let row = 0; row < rows; row++) data.fill(row, 1024 * row, 1024 * (row + 1));
    await writeFile(join(folder, "table"), data);
    const graph = new Graph();
    const weight = graph.weight("table", "float32", [rows, 1024], {
      file: "table",
      offset: 0,
      length: data.byteLength,
    });
    graph.output("y", gather(weight, graph.input("ids", "int64", ["N"])));
    return graph;
  }

  test("is what auto chooses where the adapter is a GPU", async () => {
    const chosen = await chooseGpu({ kind: "auto" }, { ...process.env, PATH: "" });
    assert.equal(chosen?.webgpu?.name, NAME);
    gpu = chosen.gpu;
  });

  test("binds weights in parts where shaders see less than the whole", async () => {
    const rows = 40_000;
    assert.ok(rows * 4096 > LARGEST_BINDING);
    await using session = await create(await table(rows));
    const ids = [0, rows - 1, 32_767, 32_768, 5];
    const outputs = await session.run({ N: ids.length }, new Map([["ids", BigInt64Array.from(ids, BigInt)]]));
    const data = outputs.get("y")?.data ?? [];
    assert.deepEqual(
      ids,
      Array.from(ids, (_, i) => data[1024 * i + 1023]),
    );
  });

  test("refuses weights above the largest buffer, with both sizes", async () => {
    const graph = await table(1000);
    const small: Gpu = { provider: "webgpu", largestBuffer: 2 * MIB };
    await assert.rejects(Session.create(graph, { weightsDir: folder }, { threads: 1, gpu: small }), {
      code: "failed_precondition",
      message: /^table takes 4\.1 MB, and the GPU has no buffers above 2\.1 MB; use another GPU, or --device cpu$/,
    });
  });

  test("refuses what its memory has no room for, and computes it once there is room, in a new session", async () => {
    const graph = new Graph();
    const rows = expand(graph.input("x", "float32", [1, 1]), ["N", 1024]);
    graph.output("y", gather(rows, graph.literal(BigInt64Array.of(0n), [1])));
    const first = async (session: Session, N: number) =>
      (await session.run({ N }, new Map([["x", Float32Array.of(7)]]))).get("y")?.data[5];
    const exhausted = { code: "resource_exhausted", message: /^out of GPU memory; lower batch_size or max_length$/ };
    {
      await using session = await create(graph);
      assert.equal(await first(session, 3), 7);
      process.env["SHIM_MEMORY"] = `${50 * MIB}`;
      await assert.rejects(first(session, 20_000), exhausted);
      assert.equal(await first(session, 4), 7);
      delete process.env["SHIM_MEMORY"];
      // ONNX Runtime keeps the buffer that was not made, and uses it again.
      await assert.rejects(first(session, 20_000), exhausted);
    }
    await using session = await create(graph);
    assert.equal(await first(session, 20_000), 7);
  });

  test("is lost for this process for good", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2, 2]);
    graph.output("y", matmul(x, x));
    await using session = await create(graph);
    const feeds = new Map([["x", Float32Array.of(1, 2, 3, 4)]]);
    assert.equal((await session.run({}, feeds)).get("y")?.data[0], 7);
    await writeFile(join(folder, "lost"), "");
    await assert.rejects(session.run({}, feeds), LostDeviceError);
    await rm(join(folder, "lost"));
    await assert.rejects(session.run({}, feeds), LostDeviceError);
    await using another = await create(graph);
    await assert.rejects(another.run({}, feeds), LostDeviceError);
  });
});
