import { GradpoolError } from "@gradpool/errors";

/** Environment variables for NATS. */
export interface NatsVariables {
  /** One or several URLs, separated by commas: nats://host:4222, or tls:// for an encrypted connection. */
  NATS_URL?: string | undefined;
  NATS_USER?: string | undefined;
  NATS_PASSWORD?: string | undefined;
  NATS_TOKEN?: string | undefined;
  /** File with a user's JWT and seed, as `nsc` writes it. */
  NATS_CREDS?: string | undefined;
  /** File with a user's nkey seed. */
  NATS_NKEY?: string | undefined;
  /** PEM files: certificates to trust instead of the system's, and our own certificate with its key. */
  NATS_CA?: string | undefined;
  NATS_CERT?: string | undefined;
  NATS_KEY?: string | undefined;
  /** "true" for a server with handshake_first. */
  NATS_TLS_FIRST?: string | undefined;
  /** JetStream domain, such as that of a hub seen from a leaf node. */
  NATS_JS_DOMAIN?: string | undefined;
}

/** Where NATS is, and our credentials. Secrets: never logged. */
export interface NatsOptions {
  /** "host:port". */
  servers: string[];
  tls: boolean;
  caFile?: string;
  certFile?: string;
  keyFile?: string;
  tlsFirst?: boolean;
  domain?: string;
  user?: string;
  password?: string;
  token?: string;
  credsFile?: string;
  nkeyFile?: string;
}

const DEFAULT_PORT = "4222";

/**
 * Undefined when NATS_URL is not set. Errors: `invalid_argument`, naming the variable and never its value: it
 * may hold a password.
 */
export function natsOptions(variables: NatsVariables): NatsOptions | undefined {
  const { NATS_URL, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CREDS, NATS_NKEY } = variables;
  if (!NATS_URL) return undefined;
  const urls = NATS_URL.split(",").map((text) => parseUrl(text.trim()));
  const [first] = urls;
  const inUrl = first?.username
    ? first.password
      ? { user: decoded(first.username), password: decoded(first.password) }
      : { token: decoded(first.username) }
    : {};
  if (NATS_USER !== undefined && NATS_PASSWORD === undefined) refuse("NATS_USER needs NATS_PASSWORD");
  const encryption = encryptionOf(variables);
  return {
    servers: urls.map(({ hostname, port }) => `${hostname}:${port || DEFAULT_PORT}`),
    tls: urls.some(({ protocol }) => protocol === "tls:") || Object.keys(encryption).length > 0,
    ...encryption,
    ...(variables.NATS_JS_DOMAIN && { domain: variables.NATS_JS_DOMAIN }),
    ...inUrl,
    ...(NATS_USER && { user: NATS_USER, password: NATS_PASSWORD ?? "" }),
    ...(NATS_TOKEN && { token: NATS_TOKEN }),
    ...(NATS_CREDS && { credsFile: NATS_CREDS }),
    ...(NATS_NKEY && { nkeyFile: NATS_NKEY }),
  };
}

function encryptionOf(variables: NatsVariables): Pick<NatsOptions, "caFile" | "certFile" | "keyFile" | "tlsFirst"> {
  const { NATS_CA, NATS_CERT, NATS_KEY, NATS_TLS_FIRST } = variables;
  if (NATS_CERT && !NATS_KEY) refuse("NATS_CERT needs NATS_KEY");
  if (NATS_KEY && !NATS_CERT) refuse("NATS_KEY needs NATS_CERT");
  const first = NATS_TLS_FIRST?.toLowerCase() || "false";
  if (!["true", "false", "1", "0"].includes(first)) refuse("NATS_TLS_FIRST must be true or false");
  return {
    ...(NATS_CA && { caFile: NATS_CA }),
    ...(NATS_CERT && NATS_KEY && { certFile: NATS_CERT, keyFile: NATS_KEY }),
    ...(["true", "1"].includes(first) && { tlsFirst: true }),
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url?.hostname || !["nats:", "tls:"].includes(url.protocol)) {
    refuse("NATS_URL must look like nats://127.0.0.1:4222, or several separated by commas");
  }
  return url;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("NATS_URL has a user or password that is not percent-encoded");
  }
}

function refuse(problem: string): never {
  throw new GradpoolError("invalid_argument", `${problem}; set it and restart`);
}
