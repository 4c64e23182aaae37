/** Keeps secrets out of text that people and log collectors read. */

/** Variables that hold a secret by their name: HF_TOKEN, NATS_PASSWORD, AWS_SECRET_ACCESS_KEY, …_HEADERS. */
const SECRET_VARIABLE = /(TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?|API_?KEY|SECRET_ACCESS_KEY|_HEADERS)$/i;
/** Shorter values are not secrets, and would match everywhere. */
const MIN_SECRET_LENGTH = 8;
/** Tokens of the Hugging Face hub, from any source. */
const HUB_TOKEN = /\bhf_[A-Za-z0-9]{16,}/g;
/**
 * scheme://user:password@host and scheme://token@host, also within JSON. Schemes are short, so that long texts match
 * quickly.
 */
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@"'\\<>]+@/gi;
const BEARER = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi;

const GONE = "[redacted]";

/** A function that removes from a text the secrets in `env`, and anything that looks like one. */
export function redactor(env: NodeJS.ProcessEnv): (text: string) => string {
  const secrets = secretsOf(env);
  return (text) => {
    let safe = text;
    for (const secret of secrets) if (safe.includes(secret)) safe = safe.replaceAll(secret, GONE);
    return safe
      .replace(HUB_TOKEN, GONE)
      .replace(URL_CREDENTIALS, `$1${GONE}@`)
      .replace(BEARER, (_, scheme: string) => `${scheme} ${GONE}`);
  };
}

/** The longest first: one may be part of another. Each also in its JSON form. */
function secretsOf(env: NodeJS.ProcessEnv): string[] {
  const found = new Set<string>();
  const add = (value: string) => {
    if (value.length < MIN_SECRET_LENGTH) return;
    found.add(value);
    found.add(JSON.stringify(value).slice(1, -1));
  };
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !SECRET_VARIABLE.test(name)) continue;
    add(value);
    // "name=value,name=value" of OTEL_EXPORTER_OTLP_HEADERS.
    if (name.endsWith("_HEADERS")) for (const pair of value.split(",")) add(pair.slice(pair.indexOf("=") + 1));
  }
  return [...found].sort((a, b) => b.length - a.length);
}
