import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { CONTENT_SECURITY_POLICY, DASHBOARD_PATHS, dashboardFile } from "../src/index.js";

const isBuilt = existsSync(new URL("../site/index.html", import.meta.url));

describe("the dashboard's files", () => {
  test(
    "are complete, small, and load from no other server",
    { skip: isBuilt || process.env["CI"] ? false : "make build" },
    async () => {
      for (const path of DASHBOARD_PATHS) {
        const { content, etag } = await dashboardFile(path);
        assert.ok(content.byteLength > 0 && content.byteLength < 64_000, `${path}: ${content.byteLength} bytes`);
        assert.match(etag, /^"[\w-]{22}"$/);
        // Names of XML's vocabularies look like addresses.
        const text = content.toString().replaceAll(/http:\/\/www\.w3\.org\/[\w/]+/g, "");
        assert.doesNotMatch(text, /https?:\/\//, path);
      }
    },
  );

  test(
    "nothing in the page itself is run or applied",
    { skip: isBuilt || process.env["CI"] ? false : "make build" },
    async () => {
      const page = (await dashboardFile("/")).content.toString();
      assert.doesNotMatch(page, /<style|style=|<script>| on\w+=/);
      assert.doesNotMatch(CONTENT_SECURITY_POLICY, /unsafe|\*/);
    },
  );

  test("others are not found", async () => {
    await assert.rejects(dashboardFile("/../package.json"), { code: "not_found" });
  });
});
