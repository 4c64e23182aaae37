/** A private certificate authority for tests, with a server's and a client's certificate, made with openssl. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { toolOf } from "./tools.js";

const run = promisify(execFile);

/** Paths of PEM files. */
export interface Certificates {
  /** The authority, which no system trusts. */
  ca: string;
  /** For 127.0.0.1 and localhost. */
  server: KeyPair;
  client: KeyPair;
}

/** Paths of PEM files. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** Whether this machine has openssl. */
export const openssl = () =>
  toolOf(async () => {
    await run("openssl", ["version"]);
    return "openssl";
  });

/** Makes them in a folder. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  await mkdir(folder, { recursive: true });
  const authority = await makePair(folder, "ca", ["-x509", "-addext", "basicConstraints=critical,CA:TRUE"]);
  const signed = (name: string, usage: string) =>
    makePair(folder, name, ["-x509", "-CA", authority.cert, "-CAkey", authority.key, ...extensions(usage)]);
  return {
    ca: authority.cert,
    server: await signed("server", "serverAuth"),
    client: await signed("client", "clientAuth"),
  };
}

const extensions = (usage: string): string[] =>
  [
    "basicConstraints=critical,CA:FALSE",
    `extendedKeyUsage=${usage}`,
    "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost",
  ].flatMap((extension) => ["-addext", extension]);

async function makePair(folder: string, name: string, flags: readonly string[]): Promise<KeyPair> {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
  // openssl of some systems has no configuration file; this one has nothing that certificates take over.
  const config = join(folder, "openssl.cnf");
  await writeFile(config, "[req]\ndistinguished_name = name\n[name]\n");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
  const common = ["-config", config, "-subj", `/CN=gradpool test ${name}`, "-days", "2", "-keyout", key, "-out", cert];
  await run("openssl", ["req", ...curve, ...common, ...flags]);
  return { cert, key };
}
