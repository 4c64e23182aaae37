/** What the environment says about the hub, read as Python's huggingface_hub reads it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { homeFolder } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { proxySettings, type ProxySettings } from "./proxy.js";

export interface HubTiming {
  /** Until a request's headers must have come. */
  responseMs: number;
  /** Over this time a transfer must bring SLOWEST_BYTES_PER_SECOND. */
  stallMs: number;
  /** Before the second attempt; doubles with each further one. */
  backoffMs: number;
}

export const DEFAULT_TIMING: HubTiming = { responseMs: 30_000, stallMs: 30_000, backoffMs: 500 };

export interface HubSettings {
  /** http(s) address without a slash at its end. */
  endpoint: string;
  token?: string;
  /** The folder that holds models--org--name and its like, shared with Python. */
  cacheDir: string;
  /** Use what is in the cache, and no network. */
  offline: boolean;
  /** Undefined: none. */
  proxy?: ProxySettings;
  timing?: Partial<HubTiming>;
}

/**
 * HF_ENDPOINT, HF_TOKEN (or the token file that `hf auth login` writes), HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and
 * their older names, and the proxies. Errors: `invalid_argument`, naming the variable.
 */
export function hubSettings(env: NodeJS.ProcessEnv): HubSettings {
  const home = expand(
    env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homeFolder(), ".cache"), "huggingface"),
    env,
  );
  const cacheDir = expand(env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || join(home, "hub"), env);
  const token = tokenOf(env, home);
  const proxy = proxySettings(env);
  return {
    endpoint: endpointOf(env["HF_ENDPOINT"] || "https://huggingface.co"),
    ...(token ? { token } : {}),
    ...(proxy && { proxy }),
    cacheDir,
    offline: isTrue(env["HF_HUB_OFFLINE"] || env["TRANSFORMERS_OFFLINE"]),
  };
}

const isTrue = (value: string | undefined) => /^(1|on|yes|true)$/i.test(value ?? "");

/** `~` and `$NAME`, as os.path.expanduser and os.path.expandvars replace them. */
function expand(path: string, env: NodeJS.ProcessEnv): string {
  const named = path.replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare?: string, braced?: string) => {
    return env[bare ?? braced ?? ""] ?? all;
  });
  return named === "~" || named.startsWith("~/") ? join(homeFolder(), named.slice(1)) : named;
}

function endpointOf(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && /^https?:$/.test(url.protocol) && !url.username && !url.search && !url.hash) {
    return address.replace(/\/+$/, "");
  }
  throw new GradpoolError(
    "invalid_argument",
    "HF_ENDPOINT is not an http(s) address; set one like https://huggingface.co",
  );
}

function tokenOf(env: NodeJS.ProcessEnv, home: string): string | undefined {
  const given = clean(env["HF_TOKEN"] || env["HUGGING_FACE_HUB_TOKEN"]);
  if (given) return checkToken(given, "HF_TOKEN");
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return undefined;
  const path = expand(env["HF_TOKEN_PATH"] || join(home, "token"), env);
  let stored: string;
  try {
    stored = readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && /^(ENOENT|ENOTDIR)$/.test(String(cause.code))) return undefined;
    const message = `${path} cannot be read; make it readable, or set HF_TOKEN`;
    throw new GradpoolError("invalid_argument", message, { cause });
  }
  const found = clean(stored);
  return found && checkToken(found, path);
}

const clean = (token: string | undefined) => token?.replace(/[\r\n]/g, "").trim();

/** A token goes into a header, so it may have no other characters. */
function checkToken(token: string, where: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new GradpoolError(
    "invalid_argument",
    `${where} has characters that are not allowed in a token; copy the token again`,
  );
}
