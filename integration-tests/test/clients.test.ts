/** The example clients in examples/clients against a real pool, whose coordinator is killed while they watch. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  deployTool,
  fingerprint,
  goClient,
  pythonWith,
  Stack,
  STACK_KEY,
  TINY_CODER,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";
import { defaultRecipe } from "@gradpool/recipe";
import { Recipe } from "@gradpool/rpc";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const CLIENTS = join(ROOT, "examples/clients");
const STEPS = 12;
const ROWS = STEPS * 8;

const grpcurl = await deployTool("grpcurl");
const python = await pythonWith(join(CLIENTS, "python/requirements.txt"));
const go = await goClient();

/** As on company machines; nothing local goes through it. */
const PROXY = "http://127.0.0.1:9";
const PROXIES = { grpc_proxy: PROXY, https_proxy: PROXY, http_proxy: PROXY };

interface Order {
  address: string;
  dataset: string;
  outputDir: string;
  recipe: string;
}

const RUN_NAME = "an example";

const flagsOf = ({ dataset, outputDir, recipe }: Order) => [
  ...["--model_id", TINY_CODER, "--dataset", dataset],
  ...["--output_dir", outputDir, "--recipe", recipe, "--run_name", RUN_NAME],
];

/** Command lines by client. */
const COMMANDS: Record<string, { skip: string | false; command: (order: Order) => string[] }> = {
  typescript: {
    skip: false,
    command: (order) => [process.execPath, join(CLIENTS, "typescript/dist/train.js"), order.address, ...flagsOf(order)],
  },
  python: {
    skip: python.skip,
    command: (order) => [python.path, join(CLIENTS, "python/train.py"), order.address, ...flagsOf(order)],
  },
  go: {
    skip: go.skip,
    command: (order) => [go.path, ...flagsOf(order), order.address],
  },
  grpcurl: {
    skip: grpcurl.skip,
    command: ({ address, dataset, outputDir, recipe }) =>
      ["bash", join(CLIENTS, "grpcurl/train.sh"), address, TINY_CODER].concat(dataset, outputDir, recipe),
  },
};

/** Runs a client to its end; `onStep` is called for each step that it prints, and may send it a signal. */
async function train(
  [program = "", ...args]: string[],
  onStep: (step: number, signal: (name: NodeJS.Signals) => void) => Promise<void> | void = () => {},
) {
  const env = { ...process.env, ...PROXIES, GRPCURL: grpcurl.path, GRADPOOL_KEY: STACK_KEY.reveal() };
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close") as Promise<[number | null]>;
  const stderr = text(child.stderr);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    const step = /^step (\d+)/.exec(line)?.[1];
    if (step) await onStep(Number(step), (name) => void child.kill(name));
  }
  const [code] = await closed;
  return { code, lines, stderr: await stderr };
}

const stepsOf = (lines: string[]) => lines.flatMap((line) => /^step (\d+)/.exec(line)?.slice(1, 2).map(Number) ?? []);

test("the recipe that the examples send is the one that the command line sends", async () => {
  const sent: unknown = JSON.parse(await readFile(join(CLIENTS, "recipe.json"), "utf8"));
  assert.deepEqual(Recipe.fromJSON(sent), defaultRecipe(), "bring examples/clients/recipe.json up to date");
});

describe("a client", () => {
  let workspace: Workspace;
  let stack: Stack;
  let dataset: string;

  before(async () => {
    execFileSync(join(ROOT, "node_modules/.bin/tsc"), ["--project", join(CLIENTS, "typescript")]);
    workspace = await Workspace.create();
    dataset = await workspace.dataset(ROWS);
    stack = await Stack.start({ trainers: 1, runStore: workspace.path("runs.sqlite") });
    await stack.train(tinyRun(dataset, workspace.path("expected")));
  });

  after(async () => {
    await stack[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  /** What to train, with a recipe like that of tinyRun, in the form that the client reads. */
  const order = async (name: string, epochs: number): Promise<Order> => {
    const recipe = workspace.path(`${name}.json`);
    const spec = tinyRun(dataset, workspace.path(name), { epochs });
    await writeFile(recipe, JSON.stringify(Recipe.toJSON(spec.recipe as Recipe)));
    return { address: stack.address, dataset, outputDir: spec.outputDir, recipe };
  };

  for (const [name, { skip, command }] of Object.entries(COMMANDS)) {
    test(`${name}: trains through a kill -9 of the coordinator, and sees each step once`, { skip }, async () => {
      const wanted = await order(name, 1);
      const { code, lines, stderr } = await train(command(wanted), async (step) => {
        if (step === 3) await stack.restartCoordinator();
      });
      assert.equal(code, 0, `${lines.join("\n")}\n${stderr}`);
      assert.deepEqual(
        stepsOf(lines),
        Array.from({ length: STEPS }, (_, i) => i + 1),
      );
      assert.match(lines.at(-1) ?? "", /COMPLETED/);
      const runId = /^run (\S+)$/.exec(lines[0] ?? "")?.[1] ?? "";
      const { run } = await stack.runs.getRun({ runId });
      assert.equal(run?.spec?.runName, name === "grpcurl" ? "" : RUN_NAME);
      assert.deepEqual(await fingerprint(wanted.outputDir), await fingerprint(workspace.path("expected")));
    });

    test(`${name}: cancels on Ctrl-C`, { skip }, async () => {
      const wanted = await order(`${name}-cancelled`, 1000);
      const { code, lines, stderr } = await train(command(wanted), (step, signal) => {
        if (step === 2) signal("SIGINT");
      });
      assert.equal(code, 1, stderr);
      assert.match(lines.at(-1) ?? "", /CANCELLED/);
    });

    test(`${name}: says what is wrong`, { skip }, async () => {
      const wanted = await order(`${name}-wrong`, 1);
      const { code, stderr } = await train(command({ ...wanted, outputDir: "" }));
      assert.equal(code, 1);
      assert.match(stderr, /output_dir is missing/);
    });
  }
});
