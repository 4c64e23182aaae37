/** The topology without a single machine that may not be lost: compose.ha.yaml and the chart's values-ha.yaml. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { assertAccepted, deployTool, lintChart, objectsIn, pythonWith, renderChart } from "@gradpool/integration-tests";
import { parse } from "yaml";
import { ROOT } from "../src/structure.js";

const helm = await deployTool("helm");
const validator = await pythonWith(join(ROOT, "deploy/helm/requirements.txt"));

const config = pathToFileURL(join(ROOT, "services/coordinator/dist/src/config.js")).href;
const { variables } = (await import(config)) as { variables: string[] };

const COORDINATORS = ["coordinator", "coordinator-2", "coordinator-3"];
const NATS = ["nats", "nats-2", "nats-3"];

interface ComposeService {
  image?: string;
  build?: unknown;
  hostname?: string;
  environment?: Record<string, string>;
  volumes?: string[];
  depends_on?: Record<string, unknown>;
  secrets?: (string | { source: string; target: string })[];
  networks?: string[] | Record<string, unknown>;
  entrypoint?: string[];
  command?: string;
}

interface Compose {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
  secrets: Record<string, { file?: string }>;
}

const read = (name: string): Compose =>
  parse(readFileSync(join(ROOT, "deploy", name), "utf8"), { merge: true }) as Compose;

/** As Compose merges files: mappings by key, lists one after the other, and the later value otherwise. */
function merged<T>(base: T, over: T): T {
  if (Array.isArray(base) && Array.isArray(over))
    return [...new Set([...base, ...over].map((one) => JSON.stringify(one)))].map(
      (text) => JSON.parse(text) as unknown,
    ) as T;
  if (typeof base !== "object" || typeof over !== "object" || base === null || over === null) return over ?? base;
  const keys = [...new Set([...Object.keys(base), ...Object.keys(over)])] as (keyof T)[];
  return Object.fromEntries(keys.map((key) => [key, merged(base[key], over[key])])) as T;
}

describe("deploy/compose.ha.yaml", () => {
  const { services, volumes, secrets } = merged(read("compose.yaml"), read("compose.ha.yaml"));
  const one = (name: string): ComposeService => services[name] ?? assert.fail(`there is no ${name}`);

  test("has three coordinators that differ only in name, certificate and published ports", () => {
    const [first, ...others] = COORDINATORS.map((name) => {
      const { ports: _, ...service } = one(name) as ComposeService & { ports?: unknown };
      const text = JSON.stringify({ ...service, secrets: service.secrets?.map(String) });
      return {
        ...service,
        environment: { ...service.environment, GRADPOOL_ADVERTISE: text.includes(`"${name}:7070"`) },
      };
    });
    for (const other of others) {
      assert.deepEqual(other.environment, {
        ...first?.environment,
        GRADPOOL_STORE: other.environment["GRADPOOL_STORE" as never],
      });
      assert.deepEqual([other.image, other.build, other.networks], [first?.image, first?.build, first?.networks]);
    }
    for (const name of COORDINATORS) {
      const { environment = {}, secrets: given = [], depends_on: needed = {} } = one(name);
      assert.equal(environment["GRADPOOL_ADVERTISE"], `${name}:7070`);
      assert.equal(environment["GRADPOOL_STORE"], "postgres://gradpool@postgres:5432/gradpool");
      const own = given.flatMap((secret) => (typeof secret === "string" ? [] : [secret.source]));
      assert.deepEqual(own, [`${name}_cert`, `${name}_key`]);
      for (const other of [...NATS, "postgres"]) assert.ok(other in needed, `${name} waits for ${other}`);
      assert.equal(environment["NATS_URL"], NATS.map((server) => `nats://${server}:4222`).join(","));
      const shared = [
        "GRADPOOL_KEY_FILE",
        "GRADPOOL_TLS_CA",
        "GRADPOOL_TLS_CERT",
        "GRADPOOL_TLS_KEY",
        "GRADPOOL_ROOTS",
      ];
      const process = ["GRADPOOL_LOG_LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT", "HF_ENDPOINT", "HF_TOKEN"];
      const unknown = Object.keys(environment).filter((key) => ![...variables, ...shared, ...process].includes(key));
      assert.deepEqual(unknown, [], "the coordinator reads no such variables");
    }
    assert.equal(
      one("trainer").environment?.["GRADPOOL_COORDINATOR_ADDRESS"],
      COORDINATORS.map((name) => `${name}:7070`).join(","),
    );
  });

  test("has a NATS cluster whose servers differ in name and folder, and a PostgreSQL", () => {
    for (const name of NATS) {
      const { image, hostname, command, entrypoint = [], volumes: mounts = [] } = one(name);
      assert.deepEqual([image, hostname, command], [one("nats").image, name, `--server_name=${name}`]);
      assert.ok(mounts.includes(`${name}:/data`));
      const routes = entrypoint.find((flag) => flag.startsWith("--routes=")) ?? "";
      for (const server of NATS) assert.ok(routes.includes(`@${server}:6222`), `${name} dials ${server}`);
    }
    assert.match(
      one("postgres").image ?? "",
      /^postgres:\d+\.\d+-alpine\$\{POSTGRES_DIGEST:\+@\}\$\{POSTGRES_DIGEST:-\}$/,
    );
    assert.deepEqual(one("postgres").networks, ["gradpool"]);
  });

  test("names services, volumes, files and secrets that exist", () => {
    for (const [name, { depends_on: needed = {}, volumes: mounts = [], secrets: given = [] }] of Object.entries(
      services,
    )) {
      for (const other of Object.keys(needed)) assert.ok(services[other], `${name} needs ${other}`);
      for (const mount of mounts) {
        const source = mount.split(":")[0] ?? "";
        if (source.startsWith("./")) assert.ok(existsSync(join(ROOT, "deploy", source)), `${name} mounts ${source}`);
        else if (!source.startsWith("$")) assert.ok(source in volumes, `${name} mounts ${source}`);
      }
      for (const secret of given) assert.ok((typeof secret === "string" ? secret : secret.source) in secrets, name);
    }
    const script = readFileSync(join(ROOT, "deploy/secrets.mjs"), "utf8");
    for (const name of [...COORDINATORS, "POSTGRES_PASSWORD"]) assert.match(script, new RegExp(`\\b${name}\\b`));
  });
});

interface Pod {
  affinity?: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { topologyKey: string }[] } };
  containers: { name: string; env: { name: string; value?: string }[]; envFrom?: { secretRef: { name: string } }[] }[];
}

describe("the Helm chart's values-ha.yaml", { skip: helm.skip || validator.skip }, () => {
  const values = parse(readFileSync(join(ROOT, "deploy/helm/gradpool/values-ha.yaml"), "utf8")) as object;

  test("installs three coordinators on different machines, and trainers that follow them", async () => {
    await lintChart(helm.path, values);
    const manifests = await renderChart(helm.path, values);
    await assertAccepted(validator.path, manifests);
    const objects = objectsIn(manifests);
    const find = (kind: string, name: string) =>
      (objects.find((object) => object.kind === kind && object.metadata.name === name) ??
        assert.fail(`${kind} ${name}`)) as unknown as {
        spec: Record<string, unknown> & { template: { spec: Pod } };
        data: Record<string, string>;
      };
    const { spec } = find("StatefulSet", "pool-coordinator");
    assert.deepEqual(
      [spec["replicas"], spec["serviceName"], spec["podManagementPolicy"]],
      [3, "pool-coordinators", "Parallel"],
    );
    assert.equal(spec["volumeClaimTemplates"], undefined);
    const [rule] = spec.template.spec.affinity?.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    assert.equal(rule?.topologyKey, "kubernetes.io/hostname");
    const service = find("Service", "pool-coordinators").spec;
    assert.deepEqual([service["clusterIP"], service["publishNotReadyAddresses"]], ["None", true]);
    assert.equal(find("PodDisruptionBudget", "pool-coordinator").spec["maxUnavailable"], 1);

    const [container] = spec.template.spec.containers;
    const env = new Map(container?.env.map(({ name, value = "" }) => [name, value]));
    const advertised = "$(POD_NAME).pool-coordinators.default.svc:7070";
    assert.deepEqual([env.get("GRADPOOL_ADVERTISE"), env.get("GRADPOOL_COORDINATOR_LEASE_SECONDS")], [advertised, "5"]);
    assert.equal(env.get("NATS_URL")?.split(",").length, 3);
    for (const name of ["GRADPOOL_ADVERTISE", "GRADPOOL_COORDINATOR_LEASE_SECONDS", "GRADPOOL_STORE"])
      assert.ok(variables.includes(name), name);
    assert.ok(!env.has("GRADPOOL_STORE"));
    assert.deepEqual(
      container?.envFrom?.map(({ secretRef }) => secretRef.name),
      ["gradpool-postgres"],
    );

    const trainer = find("Deployment", "pool-trainer-cpu").spec.template.spec.containers[0];
    const dialled = trainer?.env.find(({ name }) => name === "GRADPOOL_COORDINATOR_ADDRESS")?.value;
    assert.equal(dialled, "pool-coordinators:7070");
    const { data } = find("Secret", "pool-tls-coordinator");
    const certificate = new X509Certificate(Buffer.from(data["tls.crt"] ?? "", "base64"));
    for (const name of ["pool-coordinator-2.pool-coordinators.default.svc", "pool-coordinators", "pool-coordinator"]) {
      assert.equal(certificate.checkHost(name) !== undefined, true, name);
    }

    interface Rule {
      ports: { port: number | string }[];
      from?: { podSelector: { matchLabels: Record<string, string> } }[];
    }
    const policy = find("NetworkPolicy", "pool-coordinator").spec as unknown as { ingress: Rule[]; egress: Rule[] };
    const callers = policy.ingress.flatMap(({ from = [] }) =>
      from.map(({ podSelector }) => podSelector?.matchLabels["app.kubernetes.io/component"]),
    );
    assert.ok(callers.includes("coordinator") && callers.includes("trainer-cpu"));
    assert.ok(policy.egress.some(({ ports }) => ports.some(({ port }) => port === 5432)));
  });

  test("refuses several coordinators without a run store that they share", async () => {
    await assert.rejects(
      renderChart(helm.path, { coordinator: { replicas: 2 } }),
      /coordinator\.replicas: several coordinators share/,
    );
  });
});
