import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LossGuard } from "../src/runs/loss-guard.js";
import { failure } from "./support.js";

/** Guessing among this many tokens gives 8.318 nats. */
const VOCAB_SIZE = 4096;

function play(guard: LossGuard, losses: readonly number[], firstStep = 1): void {
  for (const [i, loss] of losses.entries()) guard.check(firstStep + i, loss);
}

const stepsOf = (losses: readonly number[]) =>
  losses.map((loss, i) => ({ step: i + 1, epoch: 0, loss, gradNorm: 1, learningRate: 1, tokens: 1, seconds: 1 }));

/** A learning rate of 30 on models/tiny-coder. */
const RUINED = [3.07, 8.69, 15.97, 11.66, 13.41, 11.81, 10.74];

describe("an exploding loss", () => {
  it("ends the run at the fifth step in a row that is worse than guessing", () => {
    const message = /^step 7: the loss exploded to 10.74 \(3.07 at the first step\), the 5th step in a row .*; lower/;
    assert.throws(() => play(new LossGuard(VOCAB_SIZE, []), RUINED), failure("failed_precondition", message));
    play(new LossGuard(VOCAB_SIZE, []), RUINED.slice(0, -1));
  });

  it("counts the steps before an interruption", () => {
    for (let made = 0; made < RUINED.length; made++) {
      const guard = new LossGuard(VOCAB_SIZE, stepsOf(RUINED.slice(0, made)));
      assert.throws(() => play(guard, RUINED.slice(made), made + 1), failure("failed_precondition", /^step 7: /));
    }
  });

  it("ends it at once beyond four times", () => {
    play(new LossGuard(VOCAB_SIZE, []), [3, 33.2, 3, 33.2]);
    assert.throws(
      () => play(new LossGuard(VOCAB_SIZE, []), [3, 33.3]),
      failure("failed_precondition", /^step 2: the loss exploded to 33.30 \(3.00 at the first step\); lower/),
    );
  });

  it("is not seen where an untrained base wavers around guessing, or where steps are short and unlucky", () => {
    play(new LossGuard(VOCAB_SIZE, []), [8.31, 8.5, 8.4, 8.9, 9.1, 10.3, 8.8, 9.5]);
    play(new LossGuard(VOCAB_SIZE, []), [3, 14, 15, 14, 16, 2.9, 14, 15, 12, 13, 3.1]);
    // It started worse than guessing.
    play(new LossGuard(VOCAB_SIZE, []), [12, 14, 14.9, 14, 14, 14, 14]);
  });
});
