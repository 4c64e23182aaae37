import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bytes, duration } from "@gradpool/format";
import { parseAllDocuments } from "yaml";
import { facts, oneLine, table, trainableParameters } from "../src/terminal/format.js";
import { Output } from "../src/terminal/output.js";
import { TrainingProgress } from "../src/terminal/training-progress.js";
import { Kept } from "./support.js";

describe("format", () => {
  test("the line of parameters is PEFT's", () => {
    assert.equal(
      trainableParameters(811_008, 125_250_816),
      "trainable params: 811,008 || all params: 125,250,816 || trainable%: 0.6475",
    );
  });

  test("durations are h:mm:ss", () => {
    assert.deepEqual([0, 0.4, 59.6, 3599, 90_061].map(duration), [
      "0:00:00",
      "0:00:00",
      "0:01:00",
      "0:59:59",
      "25:01:01",
    ]);
  });

  test("bytes have three digits or so", () => {
    assert.deepEqual([0, 999, 1000, 1_234_567, 5e12].map(bytes), ["0 B", "999 B", "1.0 kB", "1.2 MB", "5.0 TB"]);
  });

  test("tables align, numbers to the right", () => {
    assert.equal(
      table(
        ["name", "n"],
        [
          ["a", 1],
          ["long", 100],
        ],
      ),
      "name    n\na       1\nlong  100",
    );
  });

  test("messages of several lines become one", () => {
    assert.equal(oneLine("a\n  b\n\nc\n"), "a b c");
  });
});

describe("Output", () => {
  /** Harmless: red text, an end of line, and a name read from right to left. */
  const HOSTILE = "\x1b[31mred\r\x9b0m\u202e";
  const SHOWN = "\\x1b[31mred\\r\\x9b0m\\u202e";

  for (const [how, write, expected] of [
    ["a result", (output: Output) => output.say(`${HOSTILE}\n\t2`), `${SHOWN}\n\t2\n`],
    ["a piece of text", (output: Output) => output.stream(`${HOSTILE}\n`), `${SHOWN}\n`],
    ["a remark", (output: Output) => output.note(HOSTILE), `${SHOWN}\n`],
    ["an error", (output: Output) => output.failure("internal", HOSTILE), `gradpool: ${SHOWN}\n`],
    ["progress", (output: Output) => output.progress(`${HOSTILE}\n`), `${SHOWN}\\n\n`],
    [
      "a cell",
      (output: Output) => output.say(table(["run"], [[`${HOSTILE}\nfake row`]])),
      `run\n${SHOWN}\\nfake row\n`,
    ],
    ["a fact", (output: Output) => output.say(facts([["run", `${HOSTILE}\nfake`]])), `run  ${SHOWN}\\nfake\n`],
  ] as const) {
    test(`${how} shows control characters and does not obey them`, () => {
      const terminal = new Kept();
      write(new Output({ stdout: terminal, stderr: terminal, format: "table" }));
      assert.equal(terminal.text, expected);
    });
  }

  test("documents are for programs and keep the text as it is", () => {
    const [stdout, stderr] = [new Kept(), new Kept()];
    new Output({ stdout, stderr, format: "json" }).failure("internal", HOSTILE);
    assert.deepEqual(JSON.parse(stdout.text), { error: { code: "internal", message: HOSTILE } });
    assert.equal(stderr.text, `gradpool: ${SHOWN}\n`);
  });

  test("on a terminal progress is drawn over itself, and other text goes above it", () => {
    const terminal = new Kept();
    terminal.isTTY = true;
    terminal.columns = 30;
    const output = new Output({ stdout: terminal, stderr: terminal, format: "table" });
    output.progress("step 1");
    output.progress("step 2");
    output.say("checkpoint saved");
    output.progress("x".repeat(100));
    output.endProgress();
    output.say("done");
    const drawn = terminal.text.split("\n").map((line) => line.slice(line.lastIndexOf("\x1b[K") + 1).replace("[K", ""));
    assert.deepEqual(drawn, ["checkpoint saved", `${"x".repeat(28)}…`, "done", ""]);
  });

  test("elsewhere it comes as lines, not too many", () => {
    const stderr = new Kept();
    const output = new Output({ stdout: new Kept(), stderr, format: "table" });
    for (let step = 1; step <= 1000; step++) output.progress(`step ${step}`, step === 1000);
    assert.equal(stderr.text, "step 1\nstep 1000\n");
  });

  test("with --json standard output holds documents alone, and there is no progress", () => {
    const stdout = new Kept();
    const stderr = new Kept();
    const output = new Output({ stdout, stderr, format: "json" });
    output.say("text");
    output.stream("text");
    output.progress("step 1", true);
    output.document({ a: 1 });
    output.failure("not_found", "no such run");
    assert.equal(stdout.text, '{"a":1}\n{"error":{"code":"not_found","message":"no such run"}}\n');
    assert.equal(stderr.text, "gradpool: no such run\n");
  });
});

test("YAML documents hold what JSON does, in the words of YAML 1.1 readers too", () => {
  const stdout = new Kept();
  const output = new Output({ stdout, stderr: new Kept(), format: "yaml" });
  const documents = [{ a: [1e-7, null], no: "yes", missing: undefined, text: "x\ny" }, { b: {} }];
  for (const document of documents) output.document(document);
  assert.equal(stdout.text.match(/^---$/gm)?.length, 2);
  assert.ok(stdout.text.includes('"no": "yes"'));
  const read = parseAllDocuments(stdout.text).map((document) => document.toJS() as unknown);
  assert.deepEqual(read, JSON.parse(JSON.stringify(documents)));
});

test("the training line shows speed and remaining time of the last steps", () => {
  const progress = new TrainingProgress();
  for (let step = 1; step <= 50; step++) {
    // Slow at first: that is forgotten.
    const seconds = step <= 10 ? 100 : 2;
    progress.add({ step, epoch: 0, loss: 3 - step / 100, gradNorm: 1, learningRate: 5e-4, tokens: 1000, seconds });
  }
  assert.equal(progress.line(80), "step 50/80 (62 %)  loss 2.5000  lr 5e-4  500 tokens/s  0:01:00 left");
});
