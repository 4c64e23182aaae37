/** The table of events against the contract and the document, and subjects that hold whatever an id is. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { EventType, type Event } from "@gradpool/rpc";
import { EVENTS, eventTypeNamed, rowOf, STREAM, subjectFor, subjectOf, subjectToken } from "../src/index.js";

const repository = new URL("../../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, repository), "utf8");
const camelCase = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

test("every payload and every type of the contract is in the table, with its schema", () => {
  const proto = read("proto/gradpool/v1/events.proto");
  const [, oneof = ""] = /oneof payload \{([^]*?)\n {2}\}/.exec(proto) ?? [];
  const fields = [...oneof.matchAll(/^ +(\w+) (\w+) = \d+;/gm)].map(([, message = "", field = ""]) => [
    camelCase(field),
    `gradpool.v1.${message}`,
  ]);
  assert.ok(fields.length > 10);
  assert.deepEqual(
    Object.entries(EVENTS).map(([payload, { schema }]) => [payload, schema]),
    fields,
  );
  const types = Object.values(EventType).filter((type) => type !== EventType.EVENT_TYPE_UNSPECIFIED);
  assert.deepEqual(
    Object.values(EVENTS)
      .map(({ type }) => type)
      .sort(),
    types.sort(),
  );
});

test("docs/events.md lists each type with its subject and schema", () => {
  const rows = read("docs/events.md")
    .split("\n")
    .filter((line) => /^\| `(run|trainer|pool)\./.test(line))
    .map((line) => [...line.matchAll(/`([^`]+)`/g)].slice(0, 3).map(([, text]) => text));
  const ids = { run: "RUN_ID", trainer: "TRAINER_ID", pool: "" };
  const expected = Object.values(EVENTS).map((row) => {
    const about = row.name.split(".")[0] as keyof typeof ids;
    return [row.name, subjectFor(row, ids[about]), row.schema.replace("gradpool.v1.", "")];
  });
  assert.deepEqual(rows, expected);
  assert.match(read("docs/events.md"), new RegExp(`stream \`${STREAM}\``));
});

test("an event's subject names what it is about, by one token", () => {
  const event: Event = {
    ...{ eventId: "x-1", runSequence: 0, time: undefined, runId: "run-1", runName: "", trainerId: "", traceparent: "" },
    payload: { $case: "runCancelled", value: { step: 1 } },
  };
  assert.equal(subjectOf(event), "gradpool.v1.run.run-1.cancelled");
  const joined = { $case: "trainerJoined" as const, value: { deviceClass: "cpu" } };
  assert.equal(
    subjectOf({ ...event, runId: "", trainerId: "gpu.7 *>", payload: joined }),
    "gradpool.v1.trainer.gpu%2E7%20%2A%3E.joined",
  );
  for (const id of [".", "*", ">", "a b", "a\tb\r\n", "ü", "%", "$x"]) {
    assert.match(subjectToken(id), /^[^\s.*>]+$/);
    assert.equal(decodeURIComponent(subjectToken(id)), id);
  }
  assert.equal(rowOf({ ...event, payload: undefined }), undefined);
  assert.throws(() => subjectOf({ ...event, payload: undefined }), /no payload/);
});

test("types are found by name", () => {
  assert.equal(eventTypeNamed("run.step"), EventType.EVENT_TYPE_RUN_STEP);
  assert.equal(eventTypeNamed("run.toString"), undefined);
});
