/** Which certificates a process uses, and where it does without. */
import { readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { hostAndPort, isLoopback, isThisMachine } from "./addresses.js";

/** PEM files. */
export interface TlsFiles {
  /** Of the authority that signed the other side's certificate. */
  ca: string;
  /** This side's own certificate. */
  cert: string;
  /** The certificate's private key. */
  key: string;
}

/** How a connection is protected: certificates, or the word that it need not be. */
export interface Protection {
  tls?: unknown;
  isInsecure?: boolean | undefined;
}

const PARTS = ["ca", "cert", "key"] as const;
const VARIABLES = { ca: "GRADPOOL_TLS_CA", cert: "GRADPOOL_TLS_CERT", key: "GRADPOOL_TLS_KEY" } as const;

/** All three files, or none. `names` are for the error. Errors: `invalid_argument`, naming what is missing. */
export function wholeTlsFiles(
  files: { [part in keyof TlsFiles]?: string | undefined },
  names: Readonly<Record<keyof TlsFiles, string>> = VARIABLES,
): TlsFiles | undefined {
  const missing = PARTS.filter((part) => !files[part]);
  if (missing.length === PARTS.length) return undefined;
  if (missing.length === 0) return files as TlsFiles;
  const list = missing.map((part) => names[part]).join(" and ");
  throw new GradpoolError("invalid_argument", `${list}: missing; TLS needs an authority, a certificate and its key`);
}

/** Those that the environment names. Errors: as wholeTlsFiles. */
export const tlsFilesOf = (env: NodeJS.ProcessEnv): TlsFiles | undefined =>
  wholeTlsFiles({ ca: env[VARIABLES.ca], cert: env[VARIABLES.cert], key: env[VARIABLES.key] });

export const isInsecure = (env: NodeJS.ProcessEnv): boolean =>
  !["", "0", "false", undefined].includes(env["GRADPOOL_INSECURE"]);

/** The same as an environment, for a child process. */
export const tlsEnvironment = (files: TlsFiles | undefined, isInsecure: boolean): NodeJS.ProcessEnv => ({
  [VARIABLES.ca]: files?.ca,
  [VARIABLES.cert]: files?.cert,
  [VARIABLES.key]: files?.key,
  GRADPOOL_INSECURE: isInsecure ? "1" : undefined,
});

/** Beside the pool's key. */
const localFile = (home: string, port: string) => join(home, "pools", port, "tls.json");

/** Lets clients of this machine find the certificates of the pool at `port`; undefined: it uses none. */
export async function keepTlsFiles(home: string, port: string, files: TlsFiles | undefined): Promise<void> {
  const path = localFile(home, port);
  if (!files) return rm(path, { force: true });
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, `${JSON.stringify(files)}\n`, { mode: 0o600 });
}

/** Those of the pool at `address` ("host:port"), if it is one of this machine that uses some. */
export function localTlsFiles(home: string, address: string): TlsFiles | undefined {
  const { host, port } = hostAndPort(address);
  if (!isThisMachine(host)) return undefined;
  let text: string;
  try {
    text = readFileSync(localFile(home, port), "utf8");
  } catch {
    return undefined;
  }
  const { ca, cert, key } = JSON.parse(text) as TlsFiles;
  return { ca, cert, key };
}

/**
 * `what` names what was set, such as GRADPOOL_LISTEN. Errors: `failed_precondition` when other machines can reach
 * `listen` ("host:port") and could read along.
 */
export function checkListen(listen: string, { tls, isInsecure }: Protection, what: string): void {
  const { host } = hostAndPort(listen);
  if (tls || isInsecure || isLoopback(host)) return;
  throw new GradpoolError(
    "failed_precondition",
    `${what}: other machines can reach ${host}, and could read the pool's key and data; make certificates with ` +
      `"gradpool certs init" and name them (--tls_ca, --tls_cert, --tls_key; GRADPOOL_TLS_CA and so on), or allow plain ` +
      "text (--insecure; GRADPOOL_INSECURE=1)",
  );
}

/** Errors: `failed_precondition` when the key would travel to another machine, at `address`, in plain text. */
export function checkDial(address: string, { tls, isInsecure }: Protection): void {
  if (tls || isInsecure || isThisMachine(hostAndPort(address).host)) return;
  throw new GradpoolError(
    "failed_precondition",
    `${address} is another machine, and the pool's key would travel there in plain text; name certificates that ` +
      `"gradpool certs init" made (--tls_ca, --tls_cert, --tls_key; GRADPOOL_TLS_CA and so on), or allow it ` +
      "(--insecure; GRADPOOL_INSECURE=1)",
  );
}
