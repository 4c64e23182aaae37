/** Where a PostgreSQL is and who uses it: a postgres:// URL as libpq takes it, with several hosts and its own parameters. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { GradpoolError } from "@gradpool/errors";

/** As libpq: whether to encrypt, and what to verify. */
const TLS_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;

/** A run store is written to: these are the values that make sense, and a host that refuses writes is never used. */
const TARGETS = ["any", "read-write", "primary"];

const PARAMETERS = ["sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs", "application_name"];

const DEFAULT_PORT = 5432;

export interface PostgresHost {
  /** A name, an address, or the folder of a Unix socket. */
  host: string;
  port: number;
}

export interface PostgresAddress {
  /** Tried in this order. */
  hosts: readonly PostgresHost[];
  database: string;
  user: string;
  /** Undefined: what `passwordFile` has. */
  password?: string | undefined;
  /** Undefined: ~/.pgpass. */
  passwordFile?: string | undefined;
  applicationName: string;
  tls: (typeof TLS_MODES)[number];
  /** Files with certificates: of the authority, and of this client. */
  files: { ca?: string; cert?: string; key?: string };
}

/** Variables of libpq that keep the password out of the URL. */
export interface PostgresVariables {
  PGPASSWORD?: string | undefined;
  PGPASSFILE?: string | undefined;
}

/** Whether a setting names a PostgreSQL rather than a file. */
export const isPostgresUrl = (store: string): boolean => /^postgres(ql)?:\/\//.test(store);

/** Errors: `invalid_argument`, without the password. */
export function parsePostgresUrl(url: string, env: PostgresVariables): PostgresAddress {
  const [, authority = "", path = "", query = ""] =
    /^postgres(?:ql)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url) ??
    refuse("it is not postgres://USER@HOST:PORT/DATABASE");
  const at = authority.lastIndexOf("@");
  const [name = "", ...rest] = authority.slice(0, Math.max(at, 0)).split(":");
  const parameters = new URLSearchParams(query);
  for (const key of parameters.keys()) {
    if (key !== "host" && !PARAMETERS.includes(key))
      refuse(`its parameter ${key} is not known (known: host, ${PARAMETERS.join(", ")})`);
  }
  const tls = parameters.get("sslmode") ?? "prefer";
  if (!isTlsMode(tls)) return refuse(`sslmode is ${TLS_MODES.join(", ")}, not ${tls}`);
  const target = parameters.get("target_session_attrs") ?? "read-write";
  if (!TARGETS.includes(target))
    refuse(`target_session_attrs is ${TARGETS.join(", ")}, not ${target}: a run store is written to`);
  const user = decoded(name) || refuse("it has no user; write postgres://USER@HOST/DATABASE");
  const file = (key: string) => parameters.get(key) ?? undefined;
  const [ca, cert, key] = [file("sslrootcert"), file("sslcert"), file("sslkey")];
  return {
    hosts: hostsOf(parameters.get("host") ?? decoded(authority.slice(at + 1))),
    database: decoded(path) || user,
    user,
    password: rest.length > 0 ? decoded(rest.join(":")) : env.PGPASSWORD,
    passwordFile: env.PGPASSFILE,
    applicationName: parameters.get("application_name") ?? "gradpool",
    tls,
    files: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
  };
}

/** For people, without the password. */
export function describe({ hosts, user, database }: PostgresAddress): string {
  const places = hosts.map(({ host, port }) => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`).join(",");
  return `postgres://${user}@${places}/${database}`;
}

/** For node:tls; undefined: without TLS. Errors: those of reading the files. */
export function tlsOptions({ tls, files }: PostgresAddress, { host }: PostgresHost): ConnectionOptions | undefined {
  if (tls === "disable" || host.startsWith("/")) return undefined;
  const contents = Object.entries(files).map(([name, path]) => [name, readFileSync(path, "utf8")]);
  return {
    ...(Object.fromEntries(contents) as ConnectionOptions),
    ...(!isIP(host) && { servername: host }),
    rejectUnauthorized: tls === "verify-ca" || tls === "verify-full",
    ...(tls === "verify-ca" && { checkServerIdentity: () => undefined }),
  };
}

function hostsOf(text: string): PostgresHost[] {
  const hosts = (text || "localhost").split(",");
  return hosts.map((place) => {
    const [, inBrackets, plain = "", port] =
      /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(place) ?? refuse(`${place} is not HOST:PORT`);
    return { host: inBrackets ?? plain, port: Number(port ?? DEFAULT_PORT) };
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("it has a % that is not followed by two hexadecimal digits; write it as %25");
  }
}

const isTlsMode = (mode: string): mode is PostgresAddress["tls"] => (TLS_MODES as readonly string[]).includes(mode);

function refuse(problem: string): never {
  throw new GradpoolError("invalid_argument", `GRADPOOL_STORE is not a URL of PostgreSQL: ${problem}`);
}
