/** A real Chromium for the dashboard's tests, and the checks for every page. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { PoolKey } from "@gradpool/access";
import { KEY_PARAMETER } from "@gradpool/service-kit";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const PLACES = ["chromium", "chromium-browser", "google-chrome"];

/** Without a sandbox, since tests may run as root; and without Chromium's own network requests. */
const FLAGS = [
  ...["--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** The browser's path; undefined if there is none on PATH. */
export const CHROMIUM = (process.env["PATH"] ?? "")
  .split(":")
  .flatMap((folder) => PLACES.map((name) => `${folder}/${name}`))
  .find((path) => existsSync(path));

export class DashboardBrowser implements AsyncDisposable {
  /** Requests to other hosts, errors of the page, and violations of its policy. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;
  readonly #base: string;
  readonly #key: PoolKey;

  private constructor(browser: Browser, base: string, key: PoolKey) {
    this.#browser = browser;
    this.#base = base;
    this.#key = key;
  }

  /** `base`: "http://host:port" of the coordinator; `key`: its pool's. */
  static async start(base: string, key: PoolKey): Promise<DashboardBrowser> {
    if (!CHROMIUM) throw new Error("there is no Chromium on PATH; install Debian's package chromium");
    return new DashboardBrowser(await chromium.launch({ executablePath: CHROMIUM, args: FLAGS }), base, key);
  }

  /** A page at `hash`, such as "#/pool". */
  async open(hash: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
    const page = await context.newPage();
    page.on("request", (request) => {
      if (!request.url().startsWith(`${this.#base}/`)) this.complaints.push(`asked for ${request.url()}`);
    });
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      if (/Content Security Policy/i.test(message.text())) this.complaints.push(message.text());
    });
    // As the link that a person opens once; the page then has the key in a cookie and no longer in its address.
    await page.goto(`${this.#base}/?${KEY_PARAMETER}=${this.#key.reveal()}${hash}`);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** The accessibility problems that axe-core finds on a page, one line each. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // Run by the debugger: the page's own policy would refuse it.
  await page.evaluate(await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = (await page.evaluate("axe.run()")) as {
    violations: { id: string; help: string; nodes: { html: string }[] }[];
  };
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`);
}
