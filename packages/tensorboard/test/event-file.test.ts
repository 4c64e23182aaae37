import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventRecords, type ChartedStep } from "@gradpool/tensorboard";
import { crc32c, maskedCrc32c } from "../src/crc32c.js";
import { readEvents } from "./read-events.js";

const START_MS = 1_700_000_000_250;

const eventFile = (...of: Parameters<typeof eventRecords>) => new Uint8Array(Buffer.concat([...eventRecords(...of)]));

const steps: ChartedStep[] = [1, 2, 3].map((step) => {
  return { step, loss: 4 - step / 2, learningRate: 5e-4, gradNorm: 1.5, tokens: 100 * step, seconds: 2 };
});

describe("crc32c", () => {
  test("gives the check values of RFC 3720, appendix B.4", () => {
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
    assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  });

  test("is masked as TensorFlow masks it", () => {
    // TensorFlow's event files begin with 18 00 00 00 00 00 00 00 a3 7f 4b 22: the length of their first record.
    assert.equal(maskedCrc32c(Uint8Array.of(24, 0, 0, 0, 0, 0, 0, 0)), 0x224b7fa3);
  });
});

describe("an event file", () => {
  test("holds each step's scalars once, in order, under transformers' tags", () => {
    const [version, ...events] = readEvents(eventFile(steps, [], START_MS));
    assert.deepEqual(version, { wallTime: START_MS / 1000, step: 0, fileVersion: "brain.Event:2", scalars: {} });
    assert.deepEqual(
      events.map(({ step, scalars }) => [step, scalars["train/loss"], scalars["train/tokens_per_second"]]),
      [
        [1, 3.5, 50],
        [2, 3, 100],
        [3, 2.5, 150],
      ],
    );
    const tags = ["train/loss", "train/grad_norm", "train/learning_rate", "train/tokens_per_second"];
    for (const { scalars } of events) assert.deepEqual(Object.keys(scalars), tags);
    assert.equal(events[0]?.scalars["train/learning_rate"], Math.fround(5e-4));
  });

  test("puts evaluations after their step, and their time into that of later records", () => {
    const evaluations = [2, 3].map((step) => ({ step, loss: step, perplexity: Math.exp(step), seconds: 0.5 }));
    const [, ...events] = readEvents(eventFile(steps, evaluations, START_MS));
    assert.deepEqual(
      events.map(({ step, wallTime, scalars }) => [step, wallTime - START_MS / 1000, scalars["eval/loss"]]),
      [
        [1, 2, undefined],
        [2, 4, undefined],
        [2, 4.5, 2],
        [3, 6.5, undefined],
        [3, 7, 3],
      ],
    );
    assert.equal(events[2]?.scalars["eval/perplexity"], Math.fround(Math.exp(2)));
  });

  test("writes a learning rate of 0, which is not a missing one", () => {
    const [, event] = readEvents(eventFile([{ ...steps[0]!, learningRate: 0 }], [], START_MS));
    assert.equal(event?.scalars["train/learning_rate"], 0);
  });

  test("keeps what is not a number, and leaves speed away where no time went by", () => {
    const [, event] = readEvents(eventFile([{ ...steps[0]!, loss: NaN, seconds: 0 }], [], START_MS));
    assert.ok(Number.isNaN(event?.scalars["train/loss"]));
    assert.equal(event?.scalars["train/tokens_per_second"], undefined);
  });

  test("begins alike for the first steps of a longer run", () => {
    const whole = eventFile(steps, [], START_MS);
    const part = eventFile(steps.slice(0, 2), [], START_MS);
    assert.deepEqual(whole.subarray(0, part.byteLength), part);
  });
});
