/** A chat that cannot be rendered: named by file and line, before training or in its middle; what was trained so far stays. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { RunState } from "@gradpool/rpc";
import { EVENT_FILE } from "@gradpool/tensorboard";
import { assertSame } from "./same-bits.js";
import { durableWorld, World } from "./world.js";

/** Renders a chat, and refuses the roles that it does not know, or none. */
const template = (roles: string) =>
  `{% for m in messages %}{% if m.role not in [${roles}] %}{{ raise_exception('no ' + m.role) }}{% endif %}` +
  "<{{ m.role }}>{% generation %}{{ m.content if m.role != 'user' }}{% endgeneration %}{% endfor %}";
const STRICT = template("'user', 'assistant'");
const TOLERANT = template("'user', 'assistant', 'judge'");

const chat = (role: string, i: number) =>
  JSON.stringify({
    messages: [
      { role: "user", content: "q" },
      { role, content: `answer ${i}` },
    ],
  });

function chats(world: World, name: string, count: number, bad?: number): string {
  const path = join(world.folder, name);
  const lines = Array.from({ length: count }, (_, i) => chat(i + 1 === bad ? "judge" : "assistant", i));
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

function useTemplate(world: World, text: string): void {
  const { tokenizer } = world.services;
  tokenizer.info = { ...tokenizer.info, chatTemplate: { template: text, toolTemplate: undefined, specialTokens: {} } };
}

const RECIPE = { messagesColumn: "messages", batchSize: 1, gradientAccumulation: 2, epochs: 1, saveEvery: 0 };
const jsonOf = (world: World, ...path: string[]) =>
  JSON.parse(world.output(...path).toString()) as { steps: unknown[] };

describe("a chat that cannot be rendered", { timeout: 240_000 }, () => {
  it("is refused before training, if it is among the first of its file, also of held-out data", async () => {
    await using world = await World.start({ ownServices: true });
    await world.trainer();
    useTemplate(world, STRICT);
    const [good, bad] = [chats(world, "good.jsonl", 250), chats(world, "bad.jsonl", 30, 7)];
    for (const data of [{ dataset: [good, bad] }, { dataset: [good], evalDataset: [bad] }]) {
      const { run, steps } = await world.train(world.spec(data, RECIPE));
      assert.deepEqual([run.state, run.error?.code, steps], [RunState.RUN_STATE_FAILED, "invalid_argument", []]);
      assert.match(run.error?.message ?? "", /bad\.jsonl:7: the chat template refuses the messages \(no judge/);
      assert.ok(!world.has("output"));
    }
  });

  it("ends a run with its file and line later, and leaves metrics and a checkpoint to resume from", async () => {
    await using world = await durableWorld({ ownServices: true });
    const trainer = await world.trainer();
    const dataset = [chats(world, "late.jsonl", 400, 350)];
    const specOf = (name: string, resumeFrom = "") =>
      world.spec({ dataset, outputDir: world.outputDir(name), resumeFrom }, RECIPE);
    useTemplate(world, TOLERANT);
    const whole = await world.train(specOf("whole"));
    useTemplate(world, STRICT);
    const { run, steps, checkpoints } = await world.train(specOf("parts"));
    assert.deepEqual([run.state, run.error?.code], [RunState.RUN_STATE_FAILED, "invalid_argument"]);
    assert.match(run.error?.message ?? "", /late\.jsonl:350: the chat template refuses the messages \(no judge/);
    // What was read ahead, the bad row among it, is not waited for.
    assert.ok(steps.length > 0 && steps.length < 175, String(steps.length));
    const name = `checkpoint-epoch0-step${steps.length}`;
    assert.deepEqual(readdirSync(world.outputDir("parts")).sort(), [name, EVENT_FILE, "metrics.json"].sort());
    assert.deepEqual(
      checkpoints.map(({ path }) => path),
      [join(world.outputDir("parts"), name)],
    );
    const metrics = jsonOf(world, "parts", "metrics.json");
    assert.deepEqual(
      metrics.steps,
      jsonOf(world, "parts", name, "trainer_state.json").steps.map((_, i) => metrics.steps[i]),
    );
    assert.equal(world.output("parts", EVENT_FILE).toString("latin1").split("train/loss").length - 1, steps.length);
    assert.ok(trainer.accepted.length > 0);

    useTemplate(world, TOLERANT);
    const resumed = await world.train(specOf("parts", "latest"));
    assert.equal(resumed.run.resumedFrom?.step, steps.length);
    assertSame(world, ["whole", whole], ["parts", resumed]);
    assert.deepEqual(resumed.run.rowCounts, whole.run.rowCounts);
  });
});

describe("a run whose numbers go wrong", { timeout: 240_000 }, () => {
  it("leaves its metrics, and keeps the checkpoints before", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    trainer.alter = async (answer, { step }) =>
      step < 4 ? answer : { ...answer, header: { ...answer.header, lossSum: NaN } };
    const { run } = await world.train(world.spec({}, { saveEvery: 2, keepLastNCheckpoints: 1 }));
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.match(run.error?.message ?? "", /step 4: loss is NaN/);
    const left = ["checkpoint-epoch0-step2", EVENT_FILE, "metrics.json"];
    assert.deepEqual(readdirSync(world.outputDir()).sort(), left.sort());
    assert.equal(jsonOf(world, "output", "metrics.json").steps.length, 3);
  });
});
