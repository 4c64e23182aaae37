/** gradpool certs init: a private authority, and certificates for servers and clients. */
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { parseListenAddress } from "@gradpool/service-kit";
import type { Command } from "commander";
import type { Authority, SignedCertificate } from "../certificates/authority.js";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, jsonOption, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { refusal } from "../flags.js";

const HELP = `
Writes into --dir (default: certs in $GRADPOOL_HOME):

  ca.crt      the authority: every machine of the pool needs it
  ca.key      its key: who has it can make certificates; keep it where this command runs
  server.crt  for services, good for the named hosts and for this machine; server.key
  client.crt  for trainers and clients on other machines; client.key
  NAME.crt    for the service that others call by the name NAME alone, for each --service NAME; NAME.key

Run it again before the certificates expire, after 397 days: the authority stays, the others are made again, for the same hosts and
services, and the named ones. Running services take the new files within ten seconds.

Examples:
  gradpool certs init
  gradpool certs init --host pool.example --host 192.0.2.7
  gradpool certs init --service coordinator --service tokenizer
  gradpool up --listen 0.0.0.0 --tls_ca ca.crt --tls_cert server.crt --tls_key server.key
  gradpool pool status --address pool.example:7070 --tls_ca ca.crt --tls_cert client.crt --tls_key client.key --key_file key
${HELP_TAIL}`;

interface Flags extends OutputFlags {
  host: string[];
  service: string[];
  dir?: string;
}

export function addCertsInit(group: Command, options: ProgramOptions): void {
  group
    .command("init")
    .description("make or renew certificates for pools that other machines reach")
    .option(
      "--host <name>",
      "name or address of a machine with services, besides this one's; may be repeated",
      host,
      [],
    )
    .option("--service <name>", "a service that gets a certificate of its own; may be repeated", service, [])
    .option("--dir <folder>", "where they are kept (default: certs in $GRADPOOL_HOME)")
    .addOption(jsonOption())
    .addHelpText("after", HELP)
    .action((flags: Flags) => certsInit(flags, contextFor(flags, options)));
}

/** Adds a name, "*.name" or an address. */
function host(text: string, earlier: string[]): string[] {
  const address = parseListenAddress(text.replace(/^\*\./, ""));
  if (!address || address.port !== undefined) throw refusal(text, "a name or an address, such as pool.example");
  return [...earlier, text];
}

/** Of its files: no folder, and none of the others. */
const SERVICE = /^(?!(ca|server|client)$)[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

function service(text: string, earlier: string[]): string[] {
  if (!SERVICE.test(text))
    throw refusal(text, "a host's name in small letters, such as tokenizer; not ca, server or client");
  return [...earlier, text];
}

async function certsInit({ host, service, dir }: Flags, { config, output }: CommandContext): Promise<void> {
  // Only this command needs the library of certificates.
  const { Authority, hostsOf } = await import("../certificates/authority.js");
  const folder = resolve(dir ?? join(config.home, "certs"));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const known = await readPair(folder, "ca");
  const authority = known ? await opened(Authority, known, folder) : await Authority.create();
  const earlier = await readPair(folder, "server");
  const hosts = [...new Set([...host, ...ownHosts(), ...(earlier ? hostsOf(earlier.certificate) : [])])];
  if (!known) await writePair(folder, "ca", await authority.pem());
  await writePair(folder, "server", await authority.sign("gradpool server", hosts));
  await writePair(folder, "client", await authority.sign("gradpool client", []));
  const services = [...new Set([...service, ...(await servicesIn(folder))])].sort();
  for (const name of services) {
    const before = await readPair(folder, name);
    const names = [...new Set([name, ...LOCAL_HOSTS, ...(before ? hostsOf(before.certificate) : [])])];
    await writePair(folder, name, await authority.sign(`gradpool ${name}`, names));
  }
  const file = (name: string) => join(folder, name);
  const { notAfter } = authority.certificate;
  output.document({ folder, authority_is_new: !known, authority_expires: notAfter.toISOString(), hosts, services });
  output.say(`${known ? "renewed" : "made"} certificates in ${folder}, for ${hosts.join(", ")}`);
  if (services.length > 0) output.say(`and one each for ${services.join(", ")}`);
  const server = `--tls_ca ${file("ca.crt")} --tls_cert ${file("server.crt")} --tls_key ${file("server.key")}`;
  output.say(`a pool for other machines: gradpool up --listen 0.0.0.0 ${server}`);
  output.say("they need ca.crt, client.crt, client.key and the pool's key; see gradpool certs init --help");
}

const LOCAL_HOSTS = ["localhost", "127.0.0.1", "::1"];

/** Services that have certificates already. */
async function servicesIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((file) => file.endsWith(".crt")).map((file) => file.slice(0, -4));
  return names.filter((name) => SERVICE.test(name));
}

/** By which the machine's own programs, and those of its networks, reach it. */
function ownHosts(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((all = []) => all);
  const reachable = addresses.filter(({ address, scopeid }) => isIP(address) !== 0 && !scopeid);
  const name = hostname();
  return [...LOCAL_HOSTS, ...(parseListenAddress(name) ? [name] : []), ...reachable.map(({ address }) => address)];
}

async function readPair(folder: string, name: string): Promise<SignedCertificate | undefined> {
  try {
    const [certificate, key] = await Promise.all(
      [`${name}.crt`, `${name}.key`].map((file) => readFile(join(folder, file), "utf8")),
    );
    return { certificate: certificate ?? "", key: key ?? "" };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unusable(folder, cause);
  }
}

async function opened(kind: typeof Authority, pair: SignedCertificate, folder: string): Promise<Authority> {
  try {
    return await kind.read(pair);
  } catch (cause) {
    throw unusable(folder, cause);
  }
}

/** The key first: a service that looks in between sees that the two do not belong together, and looks again. */
async function writePair(folder: string, name: string, { certificate, key }: SignedCertificate): Promise<void> {
  await replace(join(folder, `${name}.key`), key, 0o600);
  await replace(join(folder, `${name}.crt`), certificate, 0o644);
}

async function replace(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, path);
}

const unusable = (folder: string, cause: unknown) =>
  new GradpoolError("failed_precondition", `the certificates in ${folder} cannot be read; name another --dir`, {
    cause,
  });
