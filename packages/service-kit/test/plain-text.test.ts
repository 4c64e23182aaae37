import assert from "node:assert/strict";
import { test } from "node:test";
import { guardListener } from "../src/plain-text.js";

const log = () => {
  const warnings: string[] = [];
  return { warnings, warn: (fields: object, text: string) => void warnings.push(`${JSON.stringify(fields)} ${text}`) };
};

test("plain text beyond this machine is refused, unless it is allowed; then the log says so each hour", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  for (const listen of ["0.0.0.0:7070", "[::]:7070", "192.0.2.1:7070", "pool.example:7070"]) {
    assert.throws(
      () => guardListener(listen, {}, "GRADPOOL_LISTEN", log() as never),
      /^GradpoolError: GRADPOOL_LISTEN: other machines can reach .*gradpool certs init.*GRADPOOL_INSECURE=1/,
    );
  }
  const quiet = log();
  for (const listen of ["127.0.0.1:7070", "[::1]:0", "localhost:7070"]) {
    guardListener(listen, {}, "GRADPOOL_LISTEN", quiet as never)[Symbol.dispose]();
  }
  assert.deepEqual(quiet.warnings, []);
  const allowed = log();
  const guard = guardListener("0.0.0.0:7070", { isInsecure: true }, "GRADPOOL_LISTEN", allowed as never);
  assert.match(allowed.warnings[0] ?? "", /0\.0\.0\.0:7070.* not encrypted/);
  t.mock.timers.tick(3 * 3_600_000);
  assert.equal(allowed.warnings.length, 4);
  guard[Symbol.dispose]();
  t.mock.timers.tick(3_600_000);
  assert.equal(allowed.warnings.length, 4);
});
