import assert from "node:assert/strict";
import { test } from "node:test";
import { h, options } from "preact";
import { jsx } from "preact/jsx-runtime";
import { showControlCharacters } from "../web/visible-text.js";

test("control characters in texts and labels are shown as escapes", () => {
  const before = options.vnode;
  showControlCharacters();
  try {
    const name = "run\x1b[31m\u202e";
    const inner = h("b", { "aria-label": name, id: name }, name);
    assert.equal(inner.props.children, "run\\x1b[31m\\u202e");
    assert.equal(inner.props["aria-label"], "run\\x1b[31m\\u202e");
    // What is not shown stays as it is: it may be an address.
    assert.equal(inner.props.id, name);
    const outer = jsx("p", { children: ["is ", [name, 3, inner]] });
    assert.deepEqual(outer.props.children, ["is ", ["run\\x1b[31m\\u202e", 3, inner]]);
  } finally {
    if (before) options.vnode = before;
    else delete options.vnode;
  }
});
