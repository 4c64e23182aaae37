import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { multipliesInt8Exactly } from "../src/int8-kernels.js";

test("products of uint8 with int8 are exact with VNNI, and off x64", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-cpuinfo-"));
  try {
    const file = join(folder, "cpuinfo");
    const isExact = async (flags: string) => {
      await writeFile(file, `processor\t: 0\nflags\t\t: fpu avx2 ${flags} fma\n`);
      return multipliesInt8Exactly("x64", file);
    };
    assert.equal(await isExact("avx512f avx512_vnni"), true);
    assert.equal(await isExact("avx_vnni"), true);
    assert.equal(await isExact("avx512f avx512vl"), false);
    assert.equal(await multipliesInt8Exactly("x64", join(folder, "none")), false);
    assert.equal(await multipliesInt8Exactly("arm64", join(folder, "none")), true);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
