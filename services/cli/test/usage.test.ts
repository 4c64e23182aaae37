import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { join } from "node:path";
import { commandTree } from "../src/completion/command-tree.js";
import { readCliConfig } from "../src/config.js";
import { createProgram } from "../src/program.js";
import { jsonLines, run, TINY_CODER } from "./support.js";

const MODEL = ["--model_id", TINY_CODER];
const NO_POOL = ["--address", "127.0.0.1:1"];

/** Command line, exit code, and what its one line says. */
const REFUSED: [argv: string[], code: number, line: RegExp][] = [
  [["trian"], 2, /unknown command trian; did you mean train\?/],
  [["run", "lst"], 2, /unknown command lst; did you mean list\?/],
  [["train", "--batchsize", "3"], 2, /unknown option --batchsize; did you mean --batch_size\?/],
  [["train", "--learning-rat=1"], 2, /did you mean --learning_rate\?/],
  [["train", "--num_train_epochs", "3"], 2, /unknown option --num_train_epochs; it is called --epochs here/],
  [["train", "--per-device-train-batch-size=3"], 2, /it is called --batch_size here/],
  [["train", "--r", "3"], 2, /unknown option --r; it is called --lora_r here/],
  [["train", "--logging_steps", "10"], 2, /unknown option --logging_steps; every step is shown/],
  [["train", "--logging_dir=logs"], 2, /unknown option --logging_dir; the output folder always has TensorBoard's file/],
  [
    ["train", ...MODEL, "--report_to", "wandb"],
    2,
    /report_to cannot be wandb: .*; give metrics.json to its Python client/,
  ],
  [["train", ...MODEL, "--report_to", "comet"], 2, /report_to must be some of mlflow, tensorboard, none, not "comet"/],
  [["train", ...MODEL, "--report_to", "none,mlflow"], 2, /report_to has none beside others; leave out none/],
  [["train", "--optim", "adamw_torch"], 2, /unknown option --optim; the optimizer is torch's AdamW: weight_decay,/],
  [["train", "--bf16"], 2, /unknown option --bf16; adapter and optimizer are float32; dtype float16/],
  [["train", "--save_strategy=epoch"], 2, /unknown option --save_strategy; save_every N saves every N steps/],
  [["run", "submit", "--eval_strategy", "steps"], 2, /unknown option --eval_strategy; eval_dataset with eval_every N/],
  [["run", "list", "--output", "xml"], 2, /--output must be one of table, json, yaml, not "xml"/],
  [["train", "--zzzzzzzz"], 2, /unknown option --zzzzzzzz; see --help/],
  [["eval", "--dataset", "synthetic"], 2, /--model_id is missing/],
  [["eval", ...MODEL], 2, /--dataset is missing/],
  [["train", ...MODEL, "--dataset", "synthetic", "--epochs"], 2, /--epochs needs a value/],
  [["train", ...MODEL, "--dataset", "synthetic", "--epochs", "0"], 2, /epochs is 0, but must be .* at least 1/],
  [["train", ...MODEL, "--dataset", "synthetic", "--lora_dropout", "1"], 2, /lora_dropout is 1, but must be/],
  [["train", ...MODEL, "--dataset", "synthetic", "--lr_scheduler", "step"], 2, /one of constant, .*, linear, cosine/],
  [
    ["train", ...MODEL, "--dataset=synthetic", "--num_cycles", "3"],
    2,
    /num_cycles .* lr_scheduler cosine_with_restarts/,
  ],
  [["train", ...MODEL, "--dataset=synthetic", "--warmup_steps=3", "--warmup_ratio=0.1"], 2, /0 when warmup_steps is/],
  [["train", ...MODEL, "--dataset=synthetic", "--eval_every", "3"], 2, /--eval_every needs --eval_data/],
  [["train", ...MODEL, "--dataset=synthetic", "--load-best-model-at-end"], 2, /needs --eval_dataset/],
  [["train", ...MODEL, "--dataset=synthetic", "--eval_dataset", "/no/such.jsonl"], 1, /\/no\/such\.jsonl/],
  [["train", ...MODEL, "--dataset", "synthetic", "--trainers", "0"], 2, /--trainers must be at least 1/],
  [["train", ...MODEL, "--dataset=synthetic", "--address=127.0.0.1:1", "--trainers=2"], 2, /for a local pool; remove/],
  [
    ["train", ...MODEL, "--dataset=synthetic", ...NO_POOL, "--recovery_seconds=2"],
    2,
    /--recovery_seconds is for a local/,
  ],
  [
    ["up", "--device", "gpu"],
    2,
    /--device must be auto, cpu, cuda, webgpu, one CUDA device such as cuda:0, or one adapter .*, not "gpu"/,
  ],
  [["up", "--device", "webgpu", "--trainers", "2"], 2, /webgpu is one GPU for 2 trainers; give --trainers 1/],
  [["up", "--device", "cuda:1", "--trainers", "2"], 2, /cuda:1 is one device for 2 trainers; give --device cuda/],
  [["train", ...MODEL, "--dataset=synthetic", ...NO_POOL, "--device=cpu"], 2, /--device is for a local pool; remove/],
  [["up", "--recovery_seconds", "-1"], 2, /--recovery_seconds must be 0 or greater/],
  [["train", ...MODEL, "--dataset=synthetic", "--resume_from="], 2, /--resume_from is empty/],
  [["train", ...MODEL, "--dataset=synthetic", "--resume_from=latest"], 2, /needs an output folder; name it with/],
  [["train", ...MODEL, "--dataset=synthetic", "--resume_if_exists"], 2, /needs --resume_from; add/],
  [["train", ...MODEL, "--dataset=synthetic", "--resume_weights_only"], 2, /needs --resume_from; add/],
  [
    ["train", ...MODEL, "--dataset=synthetic", "--resume_from", "/no/such"],
    1,
    /\/no\/such is not a folder; .*if_exists/,
  ],
  [["train", ...MODEL, "--dataset=synthetic", "--run_name= a"], 2, /run_name is " a"; remove the space/],
  [["train", ...MODEL, "--dataset=synthetic", "--tags", "a", "a"], 2, /tags has "a" twice/],
  [["train", ...MODEL, "--dataset=synthetic", "more"], 2, /too many arguments/],
  [["train", "--model_id", "", "--dataset", "synthetic"], 2, /--model_id is empty/],
  [["run", "get"], 2, /missing required argument 'run_id'/],
  [["run", "list", "--address", "nowhere"], 2, /--address must be HOST:PORT/],
  [["up", "--port", "70000"], 2, /--port must be from 0 to/],
  [["sample", ...MODEL], 2, /--prompt is missing/],
  [["sample", ...MODEL, "--prompt", "x", "--temperature", "-1"], 2, /--temperature must be 0 or greater/],
  [["sample", ...MODEL, "--prompt", "x", "--top_p", "0"], 2, /--top_p must be above 0 and at most 1/],
  [["sample", ...MODEL, "--prompt", "x", "--top_k", "-1"], 2, /--top_k must be at least 0/],
  [["sample", ...MODEL, "--prompt", "x", "--repetition_penalty", "0"], 2, /--repetition_penalty must be above 0/],
  [["train", "--model_id", "/no/such", "--dataset", "synthetic"], 1, /model_id: \/no\/such does not exist; /],
  [["train", ...MODEL, "--dataset", "/no/such.txt"], 1, /no file or folder/],
  [
    ["train", ...MODEL, "--dataset", "synthetic", "--max_length", "257"],
    1,
    /max_length 257 is beyond .* 256 positions/,
  ],
  [
    ["train", ...MODEL, "--dataset", "synthetic", "--target_modules", "q_proj"],
    1,
    /no module matches q_proj; .*c_attn/,
  ],
  [["train", ...MODEL, "--dataset", "synthetic", ...NO_POOL], 1, /no pool answers at 127.0.0.1:1; start one with/],
  [["run", "submit", ...MODEL, "--dataset", "synthetic", ...NO_POOL], 1, /no pool answers/],
  [["run", "list", ...NO_POOL], 1, /no pool answers/],
  [["run", "get", "x", ...NO_POOL], 1, /no pool answers/],
  [["run", "watch", "x", ...NO_POOL], 1, /no pool answers/],
  [["run", "pause", "x", ...NO_POOL], 1, /no pool answers/],
  [["run", "resume", "x", ...NO_POOL], 1, /no pool answers/],
  [["run", "cancel", "x", ...NO_POOL], 1, /no pool answers/],
  [["checkpoint", "verifi", "x"], 2, /unknown command verifi; did you mean verify\?/],
  [["checkpoint", "list"], 2, /missing required argument 'output_dir'/],
  [["checkpoint", "list", ""], 2, /OUTPUT_DIR is empty/],
  [["checkpoint", "list", "x", "y"], 2, /too many arguments/],
  [["checkpoint", "list", "x", "--store", "nowhere"], 2, /--store must be HOST:PORT/],
  [
    ["checkpoint", "list", "x", "--store", "127.0.0.1:1"],
    1,
    /no checkpoint store answers at 127.0.0.1:1; check --store/,
  ],
  [["checkpoint", "verify", "/no/such", "--store", "127.0.0.1:1"], 1, /no checkpoint store answers/],
  [["checkpoint", "verify", "x/checkpoint-epoch0-step1", "y"], 2, /is a checkpoint already; leave out "y"/],
  [["checkpoint", "delete", "x"], 2, /NAME is missing; gradpool checkpoint list/],
  [["checkpoint", "export", "x", "latest"], 2, /--to is missing/],
  [["checkpoint", "export", "x", "--to", "y"], 2, /NAME is missing/],
  [["checkpoint", "export", "x", "latest", "--to", ""], 2, /--to is empty/],
  [["trainer", "list", ...NO_POOL], 1, /no pool answers/],
  [["trainer", "drain", "x", ...NO_POOL], 1, /no pool answers/],
  [["trainer", "undrain", "x", ...NO_POOL], 1, /no pool answers/],
  [["trainer", "drain", ...NO_POOL], 2, /missing required argument 'trainer_id'/],
  [["sample", "--model_id", "/no/such", "--prompt", "x"], 1, /does not exist/],
  [
    ["sample", ...MODEL, "--prompt", "x", "--adapter", "/no/such"],
    1,
    /adapter: \/no\/such cannot be read \(ENOENT\); give a/,
  ],
  [["eval", ...MODEL, "--dataset", "/no/such.txt"], 1, /no file or folder/],
];

/** Said once by what waits for a coordinator that may be starting again, before it gives up. */
const AWAY = /^the coordinator at 127\.0\.0\.1:1 does not answer; waiting for it\n/;

// Side by side, since several wait for a while.
describe("a command line that cannot be done", { concurrency: true }, () => {
  for (const [argv, code, line] of REFUSED) {
    const shown = argv.map((word) => (word === TINY_CODER ? "MODEL" : word)).join(" ");
    test(`${shown}: exit code ${code} and one line`, async () => {
      const result = await run(argv);
      assert.match(result.stderr.replace(AWAY, ""), /^gradpool: [^\n]*\n$/);
      assert.match(result.stderr, line);
      assert.equal(result.code, code);
      assert.equal(result.stdout.replace(/^(model|data set|output folder|dry run) .*\n/gm, ""), "");
    });

    test(`${shown} --json: the same as one JSON document`, async () => {
      // After the command, since a value may be missing at the end.
      const words = ["run", "trainer", "checkpoint"].includes(argv[0] ?? "") ? 2 : 1;
      const result = await run([...argv.slice(0, words), "--json", ...argv.slice(words)]);
      const [document, ...more] = jsonLines(result.stdout);
      assert.deepEqual(more, []);
      const { message } = document?.["error"] as { message: string };
      assert.match(message, line);
      assert.equal(result.code, code);
    });
  }
});

describe("help", () => {
  test("says what each command does, with exit codes and every flag", async () => {
    const { code, stdout, stderr } = await run(["train", "--help"]);
    assert.equal(code, 0);
    assert.equal(stderr, "");
    for (const word of ["--model_id", "--gradient_accumulation", "--use_rslora", "(default: 5e-5)", "Exit codes: 0"]) {
      assert.ok(stdout.includes(word), word);
    }
    assert.ok(!stdout.includes("preset"));
  });

  test("of each command has examples with its own flags, and exit codes", async () => {
    const { env } = process;
    const contextOf = () => assert.fail("nothing runs");
    const program = await createProgram({ version: "1.2.3", config: readCliConfig({}), contextOf });
    const paths = commandTree(program).filter(({ path, commands }) => path.length > 0 && commands.length === 0);
    assert.ok(paths.length > 25);
    for (const { path } of paths) {
      const { code, stdout } = await run([...path, "--help"], env);
      assert.equal(code, 0);
      assert.match(stdout, /\nExit codes: 0 done/, path.join(" "));
      const examples = [...stdout.matchAll(/^ {2}(gradpool .*)$/gm)].map(([, line = ""]) => line);
      const isOwn = (example: string) => example.startsWith(`gradpool ${path.join(" ")}`);
      assert.ok(examples.some(isOwn), `${path.join(" ")} has no example`);
      for (const [flag] of examples.filter(isOwn).flatMap((example) => [...example.matchAll(/--[\w-]+/g)])) {
        assert.ok(stdout.includes(`  ${flag}`), `${path.join(" ")} has no ${flag}`);
      }
    }
  });

  test("goes to standard error when a command is missing", async () => {
    for (const argv of [[], ["run"], ["trainer"], ["checkpoint"]]) {
      const { code, stdout, stderr } = await run(argv);
      assert.equal(code, 2);
      assert.equal(stdout, "");
      assert.match(stderr, /^Usage: gradpool/);
    }
  });

  test("--version gives the version", async () => {
    assert.deepEqual(await run(["--version"]), { code: 0, stdout: "1.2.3\n", stderr: "" });
  });

  test("the address of the pool comes from the environment, unless a flag gives it", async () => {
    const env = { GRADPOOL_ADDRESS: "127.0.0.1:2" };
    assert.match((await run(["run", "list"], env)).stderr, /at 127\.0\.0\.1:2;/);
    assert.match((await run(["run", "list", ...NO_POOL], env)).stderr, /at 127\.0\.0\.1:1;/);
  });

  test("so does that of the checkpoint store", async () => {
    const env = { GRADPOOL_CHECKPOINT_STORE_ADDRESS: "127.0.0.1:2" };
    assert.match((await run(["checkpoint", "list", "x"], env)).stderr, /at 127\.0\.0\.1:2;/);
    const flag = ["--store", "127.0.0.1:1"];
    assert.match((await run(["checkpoint", "list", "x", ...flag], env)).stderr, /at 127\.0\.0\.1:1;/);
  });

  test("a stack trace is shown when asked for", async () => {
    const argv = ["eval", ...MODEL, "--dataset", join("/no", "such.txt")];
    assert.match((await run([...argv, "--debug"])).stderr, /\n {4}at /);
    assert.match((await run(argv, { GRADPOOL_DEBUG: "1" })).stderr, /\n {4}at /);
  });
});
