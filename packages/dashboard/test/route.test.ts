/** What the URL says of a page, and what the API is asked for it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hrefOf, routeOf } from "../web/route.js";
import { ENDED, filterIn, isFilter, listPath, putFilter, selectedIn, UNFINISHED } from "../web/run-filter.js";

describe("the URL", () => {
  test("has a page and what it shows of it", () => {
    assert.deepEqual([routeOf("").path, routeOf("#/pool").path], ["/", "/pool"]);
    const { path, query } = routeOf("#/compare?run=a&run=b&run=a&smooth=0.6");
    assert.equal(path, "/compare");
    assert.deepEqual(selectedIn(query), ["a", "b"]);
    assert.equal(hrefOf("/"), "#/");
  });

  test("keeps filters as they are, whatever is in them", () => {
    const filter = { name: "a?b&c=#d 100%", tags: ["x y", "ü&"], states: ["running", "failed"] };
    const query = new URLSearchParams("run=1&name=old");
    putFilter(query, filter);
    const shared = routeOf(hrefOf("/", query));
    assert.deepEqual(filterIn(shared.query), filter);
    assert.deepEqual(selectedIn(shared.query), ["1"]);
    putFilter(query, { name: "", tags: [], states: [] });
    assert.equal(hrefOf("/", query), "#/?run=1");
    assert.deepEqual([isFilter(filterIn(query)), isFilter(filter)], [false, true]);
  });

  test("may have been written by others", () => {
    const { query } = routeOf("#/?state=done&state=failed&state=failed&tag=&tag=a&tag=a");
    assert.deepEqual(filterIn(query), { name: "", tags: ["a"], states: ["failed"] });
  });
});

describe("the list of runs", () => {
  const none = { name: "", tags: [], states: [] };

  test("is asked for in two parts, runs that have not ended and others", () => {
    assert.equal(
      listPath(none, ENDED, 100),
      "/api/runs?view=RUN_VIEW_BASIC&page_size=100&states=RUN_STATE_COMPLETED&states=RUN_STATE_FAILED&states=RUN_STATE_CANCELLED",
    );
    const filter = { name: "a b", tags: ["x", "y"], states: ["running", "failed"] };
    assert.equal(
      listPath(filter, UNFINISHED, 9),
      "/api/runs?view=RUN_VIEW_BASIC&page_size=9&states=RUN_STATE_RUNNING&run_name=a+b&tags=x&tags=y",
    );
  });

  test("is not asked for where no state of a part is wanted", () => {
    assert.equal(listPath({ ...none, states: ["failed"] }, UNFINISHED, 9), undefined);
  });
});
