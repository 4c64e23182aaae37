/** What a run waits for, and what it says meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError, isTooManyOpenFiles } from "@gradpool/errors";
import { Outages } from "../src/runs/outages.js";

const signal = new AbortController().signal;
const shortage = () =>
  Object.assign(new Error("EMFILE: too many open files, open '/m/config.json'"), { code: "EMFILE" });

/** Fails with these, one after the other, then succeeds. */
async function attempts(failures: Error[], isWaitedFor?: (error: GradpoolError) => boolean) {
  const said: string[] = [];
  const outages = new Outages((reason) => {
    said.push(reason);
    // Retries at once, after the pause has begun.
    setImmediate(() => outages.wake());
  });
  const call = async () => {
    const [failure] = failures.splice(0, 1);
    if (failure) throw failure;
    return "opened";
  };
  return { result: await outages.waitOut("coordinator", call, signal, isWaitedFor), said };
}

test("files that cannot be opened now are opened later, and the run says why it waits", async () => {
  const { result, said } = await attempts([shortage(), GradpoolError.from(shortage())], isTooManyOpenFiles);
  assert.equal(result, "opened");
  const reason =
    "cannot open a file: too many open files; raise the limit (ulimit -n); the run resumes by itself once that is fixed";
  assert.deepEqual(said, [reason, ""]);
});

test("of a service, too", async () => {
  const { said } = await attempts([new GradpoolError("unavailable", GradpoolError.from(shortage()).message)]);
  assert.match(said[0] ?? "", /^cannot open a file: too many open files/);
});

test("nothing else is waited for where a run's own files are opened", async () => {
  const refusal = new GradpoolError("unavailable", "the hub is unavailable");
  await assert.rejects(attempts([refusal], isTooManyOpenFiles), refusal);
});
