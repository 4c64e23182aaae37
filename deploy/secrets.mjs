/**
 * Writes deploy/.env, which Docker Compose reads: the pool's key, and passwords of the programs around it, all random.
 * A file that exists is kept. Usage: node deploy/secrets.mjs
 */
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FILE = fileURLToPath(new URL(".env", import.meta.url));
const random = () => randomBytes(24).toString("base64url");

const values = {
  GRADPOOL_KEY: random(),
  S3_USER: "gradpool",
  S3_PASSWORD: random(),
  NATS_TOKEN: random(),
  GRAFANA_PASSWORD: random(),
};
if (existsSync(FILE)) console.log("deploy/.env exists and is kept; remove it for new secrets");
else {
  const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(FILE, lines.join(""), { mode: 0o600, flag: "wx" });
  console.log("wrote deploy/.env; commands on this machine need its key: export $(grep ^GRADPOOL_KEY= deploy/.env)");
}
