/**
 * Writes what Docker Compose reads: .env with the pool's key and passwords of the programs around it, all random, and certs with a
 * certificate for each service. What exists is kept. Usage: node deploy/secrets.mjs [FOLDER], after npm run build; FOLDER is deploy by default
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = process.argv[2] ?? fileURLToPath(new URL(".", import.meta.url));
const random = () => randomBytes(24).toString("base64url");

// The further coordinators are those of compose.ha.yaml.
const SERVICES = [
  ...["coordinator", "coordinator-2", "coordinator-3"],
  ...["tokenizer", "data-stream", "checkpoint-store", "trainer"],
];

const values = {
  GRADPOOL_KEY: random(),
  S3_USER: "gradpool",
  S3_PASSWORD: random(),
  NATS_TOKEN: random(),
  POSTGRES_PASSWORD: random(),
  GRAFANA_PASSWORD: random(),
};
const file = join(folder, ".env");
const lineOf = ([name, value]) => `${name}=${value}\n`;
if (existsSync(file)) {
  const text = readFileSync(file, "utf8");
  const missing = Object.entries(values).filter(([name]) => !new RegExp(`^${name}=`, "m").test(text));
  const end = text === "" || text.endsWith("\n") ? "" : "\n";
  if (missing.length > 0) appendFileSync(file, end + missing.map(lineOf).join(""));
  const what = missing.length > 0 ? `, with ${missing.map(([name]) => name).join(" and ")} added` : "";
  console.log(`${file} exists and is kept${what}; remove it for new secrets`);
} else {
  writeFileSync(file, Object.entries(values).map(lineOf).join(""), { mode: 0o600, flag: "wx" });
  console.log(`wrote ${file}; commands on this machine need its key: export $(grep ^GRADPOOL_KEY= ${file})`);
}

const certs = join(folder, "certs");
if (existsSync(certs)) console.log(`${certs} exists and is kept; gradpool certs init --dir ${certs} renews it`);
else {
  const command = fileURLToPath(new URL("../services/cli/bin/gradpool.js", import.meta.url));
  const each = SERVICES.flatMap((service) => ["--service", service]);
  execFileSync(process.execPath, [command, "certs", "init", "--dir", certs, ...each], { stdio: "ignore" });
  console.log(
    `wrote ${certs}; commands on this machine need ca.crt, client.crt and client.key: --tls_ca, --tls_cert, --tls_key`,
  );
}
// The user of the images reads them where Compose mounts them; on this machine the folder lets nobody else in.
const keys = SERVICES.map((service) => join(certs, `${service}.key`));
for (const key of keys.filter(existsSync)) chmodSync(key, 0o644);
