/** The dashboard in a real Chromium, over a real pool. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { describe, test } from "node:test";
import { RunState } from "@gradpool/rpc";
import type { Page } from "playwright-core";
import {
  accessibilityProblems,
  CHROMIUM,
  DashboardBrowser,
  Stack,
  STACK_KEY,
  tinyRun,
  Workspace,
} from "../src/index.js";

const OPTIONS = {
  timeout: 300_000,
  skip: CHROMIUM || process.env["CI"] ? false : "there is no Chromium on PATH",
};

interface Dashboard {
  workspace: Workspace;
  stack: Stack;
  browser: DashboardBrowser;
  runId: string;
}

/** A run that lasts for the test, with evaluations and checkpoints. */
async function withDashboard(work: (dashboard: Dashboard) => Promise<void>): Promise<void> {
  await using workspace = await Workspace.create();
  const store = { runStore: workspace.path("runs.sqlite"), recoverySeconds: 1 };
  await using stack = await Stack.start({ trainers: 1, http: true, ...store });
  const recipe = { epochs: 1000, evalEvery: 4, saveEvery: 4 };
  const spec = tinyRun(await workspace.dataset(400), workspace.path("out"), recipe);
  const { runId } = await stack.submit({ ...spec, evalDataset: [await workspace.dataset(5)] });
  await using browser = await DashboardBrowser.start(`http://${stack.httpAddress}`, STACK_KEY);
  await work({ workspace, stack, browser, runId });
  assert.deepEqual(browser.complaints, []);
}

const stateOf = async ({ stack, runId }: Dashboard) => (await stack.runs.getRun({ runId })).run?.state;

/** The last step in the caption of the loss curve, once it exceeds `step`. */
async function stepBeyond(page: Page, step: number): Promise<number> {
  const caption = page.getByRole("figure").filter({ hasText: "Loss" }).first().locator("figcaption");
  await caption.waitFor({ timeout: 120_000 });
  for (;;) {
    const shown = Number(/at step ([\d,]+)[^\d]*$/.exec((await caption.textContent()) ?? "")?.[1]?.replaceAll(",", ""));
    if (shown > step) return shown;
    await delay(50);
  }
}

/** Moves to an element with the keyboard. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate("document.activeElement?.textContent?.trim()")) === name) return;
  }
  assert.fail(`the keyboard does not reach ${name}`);
}

describe("the dashboard", () => {
  test("lists runs, draws a run's curve as it grows, and works with the keyboard", OPTIONS, async () => {
    await withDashboard(async (dashboard) => {
      const { browser, runId } = dashboard;
      const page = await browser.open("");
      page.setDefaultTimeout(90_000);
      await page.getByRole("row", { name: new RegExp(`${runId} running .* of 50,000 steps`) }).waitFor();
      assert.deepEqual(await accessibilityProblems(page), []);

      await tabTo(page, runId);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { level: 1, name: runId }).waitFor();
      const first = await stepBeyond(page, 4);
      const curve = page.locator("figure path.curve").first();
      const before = await curve.getAttribute("d");
      await stepBeyond(page, first);
      assert.notEqual(await curve.getAttribute("d"), before);
      await page.locator("circle.mark").first().waitFor();
      await page
        .getByRole("cell", { name: /checkpoint-epoch\d+-step\d+$/ })
        .first()
        .waitFor();
      assert.deepEqual(await accessibilityProblems(page), []);

      await tabTo(page, "Pause");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Resume" }).waitFor();
      assert.equal(await stateOf(dashboard), RunState.RUN_STATE_PAUSED);
      await page.getByText("The run is paused.").waitFor();
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Pause" }).waitFor();
      assert.notEqual(await stateOf(dashboard), RunState.RUN_STATE_PAUSED);

      await tabTo(page, "Cancel run…");
      await page.keyboard.press("Enter");
      const dialog = page.getByRole("dialog", { name: "Cancel this run?" });
      await dialog.waitFor();
      assert.deepEqual(await accessibilityProblems(page), []);
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      assert.notEqual(await stateOf(dashboard), RunState.RUN_STATE_CANCELLED);
      await page.keyboard.press("Enter");
      await tabTo(page, "Cancel the run");
      await page.keyboard.press("Enter");
      await page.getByText("cancelled", { exact: true }).waitFor();
      assert.equal(await stateOf(dashboard), RunState.RUN_STATE_CANCELLED);
    });
  });

  test("narrows the list, and compares and smooths runs in one chart that a link shows, too", OPTIONS, async () => {
    await withDashboard(async ({ workspace, stack, browser, runId }) => {
      const short = tinyRun(await workspace.dataset(40), workspace.path("short"), { maxSteps: 6 });
      await stack.train({ ...short, runName: "rank 8", tags: ["sweep", "short"] });
      // It made steps, too; more are not needed.
      await stack.runs.pauseRun({ requestId: randomUUID(), runId });
      const page = await browser.open("");
      page.setDefaultTimeout(90_000);
      const rows = page.getByRole("region", { name: "table of runs" }).getByRole("row");
      await rows.nth(2).waitFor();
      await page.getByRole("searchbox", { name: "Name" }).fill("NK 8");
      await page.getByRole("row", { name: runId }).waitFor({ state: "detached" });
      await page.getByRole("checkbox", { name: "queued" }).check();
      await page.getByText("No runs match these filters.").waitFor();
      await page.getByRole("button", { name: "Show all runs" }).click();
      await page.getByRole("button", { name: "only runs tagged sweep" }).click();
      await page.getByRole("row", { name: runId }).waitFor({ state: "detached" });
      assert.deepEqual(await accessibilityProblems(page), []);
      assert.equal(new URL(page.url()).hash, "#/?tag=sweep");
      await page.getByRole("checkbox", { name: "compare rank 8" }).check();
      await page.getByRole("button", { name: "Clear filters" }).click();
      await page.getByRole("checkbox", { name: `compare ${runId}` }).check();
      await page.getByRole("link", { name: "Compare 2 runs" }).click();

      const curves = page.getByRole("figure").first().locator("path.curve");
      await page.getByRole("row", { name: /^rank 8 completed 6 of 6/ }).waitFor();
      await page.getByRole("row", { name: new RegExp(`^${runId} paused [1-9]`) }).waitFor();
      await page.getByRole("img", { name: "Loss: of 2 runs" }).waitFor();
      assert.equal(await curves.count(), 2);
      const strokesOf =
        "[...document.querySelectorAll('figure path.curve')].map((path) => getComputedStyle(path).stroke)";
      const strokes = (await page.evaluate(strokesOf)) as string[];
      assert.equal(new Set(strokes).size, 2);
      assert.equal(await page.getByRole("figure").locator("path.raw").count(), 0);
      await page.getByRole("slider", { name: "Smoothing" }).focus();
      await page.keyboard.press("End");
      await page.getByRole("figure").locator("path.raw").nth(1).waitFor();
      assert.deepEqual(await accessibilityProblems(page), []);

      const { hash } = new URL(page.url());
      assert.match(hash, new RegExp(`^#/compare\\?run=run-.*&run=${runId}&smooth=0.99$`));
      const shared = await browser.open(hash, { colorScheme: "dark", viewport: { width: 360, height: 700 } });
      shared.setDefaultTimeout(90_000);
      await shared.getByRole("figure").locator("path.raw").nth(1).waitFor();
      assert.deepEqual(await accessibilityProblems(shared), []);
      assert.equal(await shared.evaluate("document.documentElement.scrollWidth"), 360, "the page scrolls sideways");
      await shared.getByRole("link", { name: "rank 8" }).click();
      await shared.getByRole("heading", { level: 1, name: "rank 8" }).waitFor();
      assert.equal(await shared.title(), "rank 8 · gradpool");
    });
  });

  test("shows the pool and drains a trainer, light and dark, wide and narrow", OPTIONS, async () => {
    await withDashboard(async ({ browser, stack, runId }) => {
      const backgrounds = new Set<unknown>();
      for (const colorScheme of ["light", "dark"] as const) {
        const page = await browser.open("#/pool", { colorScheme, viewport: { width: 360, height: 700 } });
        page.setDefaultTimeout(90_000);
        await page.getByRole("meter").waitFor();
        backgrounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"));
        assert.deepEqual(await accessibilityProblems(page), [], colorScheme);
        assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360, "the page scrolls sideways");
        await page.goto(page.url().replace("#/pool", `#/runs/${runId}`));
        await stepBeyond(page, 0);
        assert.deepEqual(await accessibilityProblems(page), [], colorScheme);
        assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360, "the page scrolls sideways");
      }
      assert.equal(backgrounds.size, 2);

      const page = await browser.open("#/pool");
      await page.getByRole("button", { name: /^drain / }).click();
      await page.getByText(/ is draining\.$/).waitFor();
      const { trainers } = await stack.pool.listTrainers({});
      assert.equal(trainers[0]?.state, "TRAINER_STATE_DRAINING");
      await page.getByRole("button", { name: /^undrain / }).click();
      await page.getByText(/ is active\.$/).waitFor();
    });
  });

  test("reconnects on its own after the coordinator was killed and restarted", OPTIONS, async () => {
    await withDashboard(async ({ browser, stack, runId }) => {
      const page = await browser.open(`#/runs/${runId}`);
      page.setDefaultTimeout(90_000);
      const before = await stepBeyond(page, 3);
      const problem = page.getByRole("alert");
      await stack.restartCoordinator(async () => {
        await problem.filter({ hasText: "does not answer" }).waitFor();
      });
      const after = await stepBeyond(page, before);
      await problem.filter({ hasText: /^$/ }).waitFor({ state: "attached" });
      await page.getByText("Loss as a table").click();
      const table = page.getByRole("table").filter({ hasText: "Loss" }).first();
      const rows = await table.getByRole("row").count();
      assert.ok(rows > 3 && rows <= 42, String(rows));
      assert.ok(after > before);
    });
  });
});
