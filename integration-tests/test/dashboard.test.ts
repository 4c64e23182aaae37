/** The dashboard in a real Chromium, over a real pool. */
import assert from "node:assert/strict";
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
  await work({ stack, browser, runId });
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
