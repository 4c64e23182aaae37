/** Request ids (I4): one effect and one answer each; and none that a database would not keep as it is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Fact } from "../src/facts.js";
import { Requests } from "../src/record/requests.js";
import { failure } from "./support.js";

describe("requests", () => {
  it("take effect once, and are refused with other content", async () => {
    const requests = new Requests([{ requestId: "old", content: "a", subject: "run-1" }]);
    const effects: Fact[] = [];
    const work = (answered: (subject: string) => Fact) => {
      effects.push(answered("run-2"));
      return Promise.resolve("run-2");
    };
    assert.equal(await requests.once("old", "a", work), "run-1");
    assert.deepEqual(await Promise.all([requests.once("new", "a", work), requests.once("new", "a", work)]), [
      "run-2",
      "run-2",
    ]);
    assert.deepEqual(effects, [{ type: "request-answered", requestId: "new", content: "a", subject: "run-2" }]);
    await assert.rejects(requests.once("new", "b", work), failure("already_exists", /used for a different request/));
  });

  it("have an id, without the character at which SQLite ends a text", async () => {
    const requests = new Requests([]);
    const work = () => Promise.reject(new Error("it was done"));
    await assert.rejects(requests.once("", "a", work), failure("invalid_argument", /request_id is empty/));
    await assert.rejects(requests.once("a\0b", "a", work), failure("invalid_argument", /U\+0000/));
  });
});
