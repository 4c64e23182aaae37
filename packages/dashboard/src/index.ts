/** The dashboard's files, as served to a browser. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";

export interface DashboardFile {
  /** Path of its URL, such as "/dashboard.js". */
  path: string;
  /** MIME type. */
  type: string;
  content: Buffer;
  /** Changes with the content, see RFC 9110. */
  etag: string;
}

/** Where scripts/bundle.mjs writes it, wherever this code runs from. */
const SITE = join(dirname(createRequire(import.meta.url).resolve("@gradpool/dashboard/package.json")), "dist/site");

const FILES = [
  { path: "/", name: "index.html", type: "text/html; charset=utf-8" },
  { path: "/dashboard.js", name: "dashboard.js", type: "text/javascript; charset=utf-8" },
  { path: "/dashboard.css", name: "dashboard.css", type: "text/css; charset=utf-8" },
  { path: "/icon.svg", name: "icon.svg", type: "image/svg+xml" },
];

/** Paths of all files. */
export const DASHBOARD_PATHS: readonly string[] = FILES.map(({ path }) => path);

/**
 * The page may load from its own server only. It has no inline scripts or styles. See CSP
 * level 3.
 */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Errors: `unavailable` when it was not built. */
export async function dashboardFile(path: string): Promise<DashboardFile> {
  const file = FILES.find((known) => known.path === path);
  if (!file) throw new GradpoolError("not_found", `there is nothing at ${path}`);
  try {
    const content = await readFile(join(SITE, file.name));
    const etag = `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"`;
    return { path, type: file.type, content, etag };
  } catch (cause) {
    throw new GradpoolError("unavailable", "the dashboard is not built; run make build and try again", { cause });
  }
}
