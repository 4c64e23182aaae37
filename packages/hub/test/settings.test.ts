import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { hubSettings } from "../src/settings.js";

const code = (expected: string) => (error: unknown) => error instanceof GradpoolError && error.code === expected;

function withHome(use: (home: string) => void): void {
  const home = mkdtempSync(join(tmpdir(), "gradpool-hub-"));
  try {
    use(home);
  } finally {
    rmSync(home, { recursive: true });
  }
}

test("without settings: the public hub, the cache that Python uses", () => {
  const { endpoint, cacheDir, offline } = hubSettings({});
  assert.equal(endpoint, "https://huggingface.co");
  assert.equal(cacheDir, join(homedir(), ".cache/huggingface/hub"));
  assert.equal(offline, false);
});

test("the cache follows HF_HUB_CACHE, its older name, HF_HOME, XDG_CACHE_HOME, in this order", () => {
  const env = { XDG_CACHE_HOME: "/x" };
  assert.equal(hubSettings(env).cacheDir, "/x/huggingface/hub");
  assert.equal(hubSettings({ ...env, HF_HOME: "~/h" }).cacheDir, join(homedir(), "h/hub"));
  assert.equal(hubSettings({ ...env, HF_HOME: "$BASE/h", BASE: "/b" }).cacheDir, "/b/h/hub");
  assert.equal(hubSettings({ ...env, HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }).cacheDir, "/old");
  assert.equal(hubSettings({ HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }).cacheDir, "/new");
});

test("the token comes from HF_TOKEN, else from the file that a login writes", () => {
  withHome((home) => {
    writeFileSync(join(home, "token"), "hf_stored\n");
    assert.equal(hubSettings({ HF_HOME: home }).token, "hf_stored");
    assert.equal(hubSettings({ HF_HOME: home, HF_TOKEN: " hf_given\n" }).token, "hf_given");
    assert.equal(hubSettings({ HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }).token, undefined);
    assert.equal(hubSettings({ HF_HOME: join(home, "none") }).token, undefined);
    assert.equal(hubSettings({ HF_HOME: "/none", HF_TOKEN_PATH: join(home, "token") }).token, "hf_stored");
    writeFileSync(join(home, "token"), "two words");
    assert.throws(() => hubSettings({ HF_HOME: home }), code("invalid_argument"));
  });
});

test("offline is what Python takes for true", () => {
  for (const value of ["1", "ON", "yes", "True"]) assert.ok(hubSettings({ HF_HUB_OFFLINE: value }).offline, value);
  for (const value of ["0", "off", ""]) assert.ok(!hubSettings({ HF_HUB_OFFLINE: value }).offline, value);
  assert.ok(hubSettings({ TRANSFORMERS_OFFLINE: "1" }).offline);
});

test("HF_ENDPOINT is an http(s) address", () => {
  assert.equal(hubSettings({ HF_ENDPOINT: "http://mirror.example/hf//" }).endpoint, "http://mirror.example/hf");
  for (const wrong of ["mirror", "file:///etc", "https://a@mirror.example", "http://m.example/?x"]) {
    assert.throws(() => hubSettings({ HF_ENDPOINT: wrong }), code("invalid_argument"), wrong);
  }
});
