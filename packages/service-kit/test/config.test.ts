import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { listenAddress, readConfig, serviceAddress } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({ GRADPOOL_LISTEN: listenAddress, GRADPOOL_TOKENIZER_ADDRESS: serviceAddress });

test("reads what is there, and fills in what is not", () => {
  const config = readConfig(schema, { GRADPOOL_TOKENIZER_ADDRESS: "tokenizer.example:7071", OTHER: "x" });
  assert.deepEqual(config, { GRADPOOL_LISTEN: "127.0.0.1:0", GRADPOOL_TOKENIZER_ADDRESS: "tokenizer.example:7071" });
});

for (const env of [{}, { GRADPOOL_TOKENIZER_ADDRESS: "7071" }]) {
  test(`names the variable that is wrong in ${JSON.stringify(env)}`, () => {
    assert.throws(
      () => readConfig(schema, env),
      (error) => error instanceof GradpoolError && /^GRADPOOL_TOKENIZER_ADDRESS: .*; set it/.test(error.message),
    );
  });
}
