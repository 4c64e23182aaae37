/** The dashboard: which page belongs to which URL. */
import { render } from "preact";
import { useRoute } from "./hooks.js";
import { PoolPage } from "./pool-page.js";
import { RunPage } from "./run-page.js";
import { RunsPage } from "./runs-page.js";
import { showControlCharacters } from "./visible-text.js";

function Dashboard() {
  const route = useRoute();
  const runId = /^\/runs\/(.+)$/.exec(route)?.[1];
  const current = route === "/pool" ? "pool" : "runs";
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
        <RunPage key={runId} runId={decodeURIComponent(runId)} />
      ) : current === "pool" ? (
        <PoolPage />
      ) : (
        <RunsPage />
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
