/**
 * Makes the pictures in docs/pictures from the real programs: a pool with a few runs, the dashboard in Chromium,
 * `gradpool top` on a pseudo-terminal. Needs Chromium, util-linux's script, and a build (make build).
 */
import { spawn, execFileSync } from "node:child_process";
import { copyFile, cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Resvg } from "@resvg/resvg-js";
import { readKeyFile } from "../packages/access/dist/src/index.js";
import { DashboardBrowser } from "../integration-tests/dist/src/browser.js";
import { TerminalProgram } from "../integration-tests/dist/src/terminal-program.js";
import { terminalSvg } from "./terminal-svg.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PICTURES = join(ROOT, "docs/pictures");
const BIN = join(ROOT, "services/cli/bin/gradpool.js");
/** Visible in the pictures. */
const FOLDER = join(tmpdir(), "gradpool-demo");
const MAX_BYTES = 150_000;

const RECIPE = [
  ...["--batch_size", "2", "--gradient_accumulation", "2", "--max_length", "64", "--packing"],
  ...["--learning_rate", "3e-3", "--lora_dropout", "0", "--eval_every", "20", "--save_every", "40"],
];

async function main() {
  await rm(FOLDER, { recursive: true, force: true });
  await mkdir(PICTURES, { recursive: true });
  await cp(join(ROOT, "models/tiny-coder"), join(FOLDER, "models/tiny-coder"), { recursive: true });
  await writeRows();
  const pool = await startPool();
  try {
    const finished = submit(pool, "rank-8", ["--max_steps", "60"]);
    await until(pool, finished, ({ state }) => state === "completed");
    const paused = submit(pool, "slow", ["--max_steps", "400", "--learning_rate", "1e-3"]);
    await until(pool, paused, ({ step }) => step >= 12);
    gradpool(["run", "pause", paused], pool);
    const running = submit(pool, "rank-16", ["--max_steps", "240", "--lora_r", "16"]);
    await until(pool, running, ({ step }) => step >= 130);
    await Promise.all([top(pool), dashboard(pool, running, [finished, paused, running])]);
    await copyFile(join(FOLDER, "outputs/rank-8/loss.png"), join(PICTURES, "loss.png"));
  } finally {
    pool.child.kill("SIGTERM");
    await new Promise((resolve) => pool.child.once("exit", resolve));
    await rm(FOLDER, { recursive: true, force: true });
  }
  for (const name of (await readdir(PICTURES)).sort()) {
    const { size } = await stat(join(PICTURES, name));
    console.log(`docs/pictures/${name}: ${Math.round(size / 1000)} kB`);
    if (size > MAX_BYTES) throw new Error(`${name} has more than ${MAX_BYTES} bytes; make it smaller`);
  }
}

/** This project's own sources, one file per row. */
async function writeRows() {
  const names = (await readdir(join(ROOT, "packages"), { recursive: true }))
    .filter((name) => /\/src\/[\w/-]+\.ts$/.test(name) && !/node_modules|dist|\/gen\//.test(name))
    .sort();
  const rows = await Promise.all(names.map((name) => readFile(join(ROOT, "packages", name), "utf8")));
  const lines = rows.map((content) => `${JSON.stringify({ content })}\n`);
  await mkdir(join(FOLDER, "data"), { recursive: true });
  await writeFile(join(FOLDER, "data/train.jsonl"), lines.slice(2).join(""));
  await writeFile(join(FOLDER, "data/held-out.jsonl"), lines.slice(0, 2).join(""));
}

/** gradpool up, once it is ready. */
async function startPool() {
  const child = spawn(process.execPath, [BIN, "up", "--port", "0", "--trainers", "2", "--json"], {
    env: { ...process.env, GRADPOOL_HOME: join(FOLDER, "home") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const { address, http_address: http, key_file: keyFile } = JSON.parse(line);
    if (address) return { child, address, http, keyFile, key: readKeyFile(keyFile) };
  }
  throw new Error("gradpool up ended before it was ready");
}

const gradpool = (args, { address, keyFile }) =>
  execFileSync(process.execPath, [BIN, ...args, "--address", address, "--key_file", keyFile], {
    encoding: "utf8",
  }).trim();

/** Returns the run's id. */
function submit(pool, name, flags) {
  const what = [
    ...["--model_id", join(FOLDER, "models/tiny-coder"), "--dataset", join(FOLDER, "data/train.jsonl")],
    ...["--eval_dataset", join(FOLDER, "data/held-out.jsonl"), "--output_dir", join(FOLDER, "outputs", name)],
    ...["--run_name", name, "--tags", "sweep"],
  ];
  return gradpool(["run", "submit", ...what, ...RECIPE, ...flags], pool);
}

async function until(pool, runId, holds) {
  for (;;) {
    const run = JSON.parse(gradpool(["run", "get", runId, "--json"], pool));
    if (holds(run)) return;
    if (["failed", "cancelled"].includes(run.state)) throw new Error(`${runId} ${run.state}: ${run.error?.message}`);
    await delay(500);
  }
}

async function top(pool) {
  const fonts = createRequire(join(ROOT, "packages/plots/package.json"));
  const font = (name) => fonts.resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`);
  const program = new TerminalProgram(
    [process.execPath, BIN, "top", "--address", pool.address, "--key_file", pool.keyFile],
    {
      ...{ columns: 100, rows: 24, nameFile: join(FOLDER, "tty") },
    },
  );
  const picture = async (name) => {
    const svg = terminalSvg(program.screen.cells);
    const fontFiles = [font("DejaVuSansMono"), font("DejaVuSansMono-Bold"), font("DejaVuSans")];
    const png = new Resvg(svg, { font: { fontFiles, loadSystemFonts: false, defaultFontFamily: "DejaVu Sans Mono" } });
    await writeFile(join(PICTURES, name), png.render().asPng());
  };
  try {
    await program.shows(/^▸ \S+ +running .* \d:\d\d:\d\d/m);
    await program.shows(/^loss +[▁-█]{40,}/m);
    await picture("top.png");
    program.press("\r");
    await program.shows(/\d\.\d{3} [\u2800-\u28ff]+/);
    await program.shows(/^tokens\/s +[▁-█]{40,}/m);
    await picture("top-run.png");
  } finally {
    await program[Symbol.asyncDispose]();
  }
}

async function dashboard({ http, key }, runId, compared) {
  const browser = await DashboardBrowser.start(`http://${http}`, key);
  const picture = async (name, hash, options, ready) => {
    const page = await browser.open(hash, { ...options, viewport: { width: 1000, height: 720 } });
    await page.locator(ready).first().waitFor();
    // Two refreshes: speed and utilization need two readings.
    await delay(5_000);
    await page.screenshot({ path: join(PICTURES, name) });
  };
  try {
    await picture("runs-light.png", "", { colorScheme: "light" }, "tbody td");
    await picture("run-light.png", `#/runs/${runId}`, { colorScheme: "light" }, "circle.mark");
    const comparison = `#/compare?${compared.map((id) => `run=${id}`).join("&")}&smooth=0.8`;
    await picture("compare-light.png", comparison, { colorScheme: "light" }, "path.raw");
    await picture("run-dark.png", `#/runs/${runId}`, { colorScheme: "dark" }, "circle.mark");
    await picture("pool-dark.png", "#/pool", { colorScheme: "dark" }, "meter");
  } finally {
    await browser[Symbol.asyncDispose]();
  }
}

await main();
