/** The dashboard: which page belongs to which URL. */
import { render } from "preact";
import { ComparePage } from "./compare-page.js";
import { PoolPage } from "./pool-page.js";
import { useRoute } from "./route.js";
import { RunPage } from "./run-page.js";
import { RunsPage } from "./runs-page.js";
import { showControlCharacters } from "./visible-text.js";

function Dashboard() {
  const { path, query } = useRoute();
  const runId = /^\/runs\/(.+)$/.exec(path)?.[1];
  const current = path === "/pool" ? "pool" : "runs";
  const link = (name: string, href: string, text: string) => (
    <a href={href} {...(current === name ? { "aria-current": "page" as const } : {})}>
      {text}
    </a>
  );
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <header>
        <span class="brand">gradpool</span>
        <nav aria-label="Pages">
          {link("runs", "#/", "Runs")} {link("pool", "#/pool", "Pool")}
        </nav>
      </header>
      {runId ? (
        <RunPage key={runId} runId={decodeURIComponent(runId)} query={query} />
      ) : path === "/pool" ? (
        <PoolPage />
      ) : path === "/compare" ? (
        <ComparePage query={query} />
      ) : (
        <RunsPage query={query} />
      )}
    </>
  );
}

/** The part after "#" names the page: the link must not change it. */
function skip(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>("h1")?.focus();
}

showControlCharacters();
render(<Dashboard />, document.body);
