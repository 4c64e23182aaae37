import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyLabel, proxySettings } from "../src/index.js";

test("proxies are read from the environment, in either case, also without a scheme", () => {
  assert.equal(proxySettings({ no_proxy: "localhost" }), undefined);
  assert.deepEqual(proxySettings({ https_proxy: "proxy:3128", NO_PROXY: "localhost,.corp" }), {
    ...{ https: "http://proxy:3128", noProxy: "localhost,.corp" },
  });
  const both = { http: "http://a:1", https: "http://b:2", noProxy: "" };
  assert.deepEqual(proxySettings({ HTTP_PROXY: "http://a:1", https_proxy: "http://b:2", all_proxy: "c:3" }), both);
  assert.deepEqual(proxySettings({ ALL_PROXY: "c:3" }), { http: "http://c:3", https: "http://c:3", noProxy: "" });
});

test("what is not an HTTP proxy is refused without its password", () => {
  for (const value of ["socks5://user:s3cret@proxy:1080", "http://user:s3cret@:"]) {
    assert.throws(
      () => proxySettings({ HTTPS_PROXY: value }),
      (error: Error) =>
        /HTTPS_PROXY is not the address of an HTTP proxy/.test(error.message) && !/s3cret/.test(error.message),
    );
  }
  const proxy = proxySettings({ https_proxy: "http://user:s3cret@proxy:3128" });
  assert.equal(proxyLabel(proxy, "https://huggingface.co"), "http://proxy:3128");
  assert.equal(proxyLabel(proxy, "http://mirror"), "");
});
