/** Everything named in deploy/ and docs/operating.md exists: services, variables, ports, volumes and files. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { assertAccepted, deployTool, lintChart, objectsIn, pythonWith, renderChart } from "@gradpool/integration-tests";
import { processVariables } from "@gradpool/service-kit";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const SERVICES = ["coordinator", "data-stream", "tokenizer", "checkpoint-store", "trainer"];
const GRPC_PORT = 7070;

const helm = await deployTool("helm");
const validator = await pythonWith(join(ROOT, "deploy/helm/requirements.txt"));

/** Variables that every service reads through shared code, or through libraries that document them. */
const SHARED = [
  ...Object.keys(processVariables.shape),
  "GRADPOOL_HOME",
  "GRADPOOL_LOG_LEVEL",
  "GRADPOOL_LOG_FORMAT",
  "HF_ENDPOINT",
  "HF_TOKEN",
];
const STANDARD = /^(OTEL|NVIDIA|CUDA)_/;

const known = new Map<string, Set<string>>();
for (const name of SERVICES) {
  const config = pathToFileURL(join(ROOT, "services", name, "dist/src/config.js")).href;
  const { variables } = (await import(config)) as { variables: string[] };
  known.set(name, new Set([...variables, ...SHARED]));
}

function assertKnown(service: string, variables: Iterable<string>): void {
  const wrong = [...variables].filter((name) => !known.get(service)?.has(name) && !STANDARD.test(name));
  assert.deepEqual(wrong, [], `${service} reads no such variables`);
}

interface ComposeService {
  image: string;
  build?: { dockerfile: string; args: { SERVICE: string; DEVICE?: string } };
  environment?: Record<string, string>;
  volumes?: string[];
  depends_on?: Record<string, unknown>;
  secrets?: (string | { source: string; target: string })[];
  networks?: string[] | Record<string, unknown>;
  tmpfs?: string[];
  ports?: string[];
}

const toSet = (networks: string[] | Record<string, unknown>): object =>
  Array.isArray(networks) ? Object.fromEntries(networks.map((name) => [name, true])) : networks;

interface Compose {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
}

describe("deploy/compose.yaml", () => {
  const text = readFileSync(join(ROOT, "deploy/compose.yaml"), "utf8");
  const { services, volumes } = parse(text, { merge: true }) as Compose;
  const ours = Object.entries(services).filter(([, { build }]) => build);

  test("builds each service, with variables that it reads", () => {
    assert.deepEqual([...new Set(ours.map(([, { build }]) => build?.args.SERVICE))].sort(), [...SERVICES].sort());
    for (const [, { build, environment = {}, image }] of ours) {
      assert.ok(build && existsSync(join(ROOT, build.dockerfile)));
      assertKnown(build.args.SERVICE, Object.keys(environment));
      assert.match(image, new RegExp(`^gradpool/${build.args.SERVICE}(-cuda)?:`));
    }
  });

  test("gives each service its own certificate, and the secrets that it needs", () => {
    for (const [, { build, environment = {}, secrets = [] }] of ours) {
      const { SERVICE: service } = build!.args;
      const named = secrets.map((secret) => (typeof secret === "string" ? secret : secret.source));
      const own = [`${service}_cert`, `${service}_key`];
      assert.deepEqual(named.sort(), [...own, "gradpool_key", "gradpool_tls_ca"].sort());
      const has = (variable: string) => variable in environment;
      assert.equal(has("AWS_SECRET_ACCESS_KEY"), service === "checkpoint-store", service);
      assert.equal(has("NATS_TOKEN"), service === "coordinator", service);
      assert.equal(has("HF_TOKEN"), service !== "checkpoint-store", service);
    }
  });

  test("bounds /tmp, and lets only those reach other networks that need it", () => {
    const { networks } = parse(text, { merge: true }) as { networks: Record<string, { internal?: boolean }> };
    assert.deepEqual([networks["gradpool"]?.internal, networks["outside"]?.internal], [true, undefined]);
    for (const [, { tmpfs = [] }] of ours) assert.match(tmpfs.join(), /^\/tmp:size=\d+g$/);
    const inside = Object.entries(services).filter(([, { networks: named = [] }]) => !("outside" in toSet(named)));
    assert.deepEqual(inside.map(([name]) => name).sort(), ["checkpoint-store", "nats", "versitygw", "volumes"]);
    for (const [name, { ports = [] }] of inside) assert.deepEqual(ports, [], `${name} cannot publish a port`);
  });

  test("lets the content of others' images be pinned", () => {
    const others = Object.entries(services).filter(([, { build }]) => !build);
    for (const [name, { image }] of others) {
      const variable = `${name === "volumes" ? "busybox" : name}_DIGEST`.toUpperCase();
      assert.match(image, /^[\w./-]+:v?\d+\.\d+[\w.-]*\$/);
      assert.ok(image.endsWith("${" + variable + ":+@}${" + variable + ":-}"), image);
    }
  });

  test("names services, ports, volumes and files that exist", () => {
    for (const [name, { environment = {}, volumes: mounts = [], depends_on: needed = {}, image }] of Object.entries(
      services,
    )) {
      assert.match(image, /:v?\d+\.\d+/, `${name}'s image has a version`);
      for (const other of Object.keys(needed)) assert.ok(services[other], `${name} needs ${other}`);
      for (const value of Object.values(environment).filter((entry) => /_ADDRESS|:7070$/.test(entry))) {
        const [host = "", port] = value.replace(/^.*\/\//, "").split(":");
        assert.ok(services[host] && Number(port) === GRPC_PORT, `${name} dials ${value}`);
      }
      for (const mount of mounts) {
        const source = mount.split(":")[0] ?? "";
        if (source.startsWith("./")) assert.ok(existsSync(join(ROOT, "deploy", source)), `${name} mounts ${source}`);
        else if (!source.startsWith("$")) assert.ok(source in volumes, `${name} mounts ${source}`);
      }
    }
  });
});

test("deploy/secrets.mjs makes what the compose file asks for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-test-"));
  try {
    execFileSync(process.execPath, [join(ROOT, "deploy/secrets.mjs"), folder]);
    const compose = readFileSync(join(ROOT, "deploy/compose.yaml"), "utf8");
    const env = readFileSync(join(folder, ".env"), "utf8");
    const needed = [...compose.matchAll(/\$\{([A-Z0-9_]+):\?/g)].map(([, name = ""]) => name);
    for (const name of [...needed, "GRADPOOL_KEY"]) assert.match(env, new RegExp(`^${name}=\\S{8,}$`, "m"));
    const { secrets } = parse(compose, { merge: true }) as { secrets: Record<string, { file?: string }> };
    const files = Object.values(secrets).flatMap(({ file }) => (file === undefined ? [] : [join(folder, file)]));
    // The authority, and a certificate with its key for each service.
    assert.equal(files.length, 1 + 2 * SERVICES.length);
    for (const file of files) assert.ok(existsSync(file), file);
    assert.deepEqual([statSync(join(folder, ".env")).mode & 0o77, statSync(join(folder, "certs")).mode & 0o77], [0, 0]);
    const namesOf = (service: string) => {
      const { subjectAltName = "" } = new X509Certificate(readFileSync(join(folder, `certs/${service}.crt`)));
      return subjectAltName.split(", ").filter((name) => name.startsWith("DNS:"));
    };
    for (const service of SERVICES) assert.deepEqual(namesOf(service), [`DNS:${service}`, "DNS:localhost"]);
    // A second time nothing changes.
    execFileSync(process.execPath, [join(ROOT, "deploy/secrets.mjs"), folder]);
    assert.equal(readFileSync(join(folder, ".env"), "utf8"), env);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("the image listens where deployments connect, and its Dockerfile names only what exists", () => {
  const text = readFileSync(join(ROOT, "deploy/Dockerfile"), "utf8");
  const variables = [...text.matchAll(/\b(GRADPOOL_[A-Z_]+)=(\S+)/g)];
  assert.deepEqual(
    variables.map(([, name, value]) => [name, value]),
    [
      ["GRADPOOL_LISTEN", "[::]:7070"],
      ["GRADPOOL_HTTP_LISTEN", "[::]:7071"],
      ["GRADPOOL_ROOTS", "/data,/outputs,s3://"],
      ["GRADPOOL_HOME", "/var/lib/gradpool"],
    ],
  );
  for (const service of SERVICES)
    assertKnown(
      service,
      variables.map(([, name = ""]) => name),
    );
  const ignored = readFileSync(join(ROOT, ".dockerignore"), "utf8");
  for (const [, path = ""] of ignored.matchAll(/^!(.+)$/gm)) assert.ok(existsSync(join(ROOT, path)), path);
});

test("only trainers need ONNX Runtime, which images of other services leave out", () => {
  const needs = (folder: string, name: string): boolean => {
    const { dependencies = {} } = JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8")) as {
      dependencies?: Record<string, string>;
    };
    const ours = Object.keys(dependencies).filter((other) => other.startsWith("@gradpool/"));
    return name in dependencies || ours.some((other) => needs(other.replace("@gradpool/", "packages/"), name));
  };
  const computing = SERVICES.filter((service) => needs(`services/${service}`, "onnxruntime-node"));
  assert.deepEqual(computing, ["trainer"]);
});

/** Values with which the chart creates everything it can create. */
const ALL = {
  ...{ nats: { url: "nats://nats:4222", existingSecret: "nats" }, tracing: { endpoint: "http://jaeger:4318" } },
  ...{ volumes: { dataClaim: "data" }, hub: { existingSecret: "hub" }, tokenizer: { workers: 3 } },
  checkpointStore: { s3: { endpoint: "http://versitygw:7070", existingSecret: "s3" } },
  trainers: { gpu: { enabled: true, autoscaling: { enabled: true } } },
};

describe("the Helm chart", { skip: helm.skip }, () => {
  test("connects to services that it creates, with variables that they read", async () => {
    await lintChart(helm.path, ALL);
    const objects = objectsIn(await renderChart(helm.path, ALL));
    const names = objects.filter(({ kind }) => kind === "Service").map(({ metadata }) => metadata.name);
    const containers = objects.flatMap(({ spec }) => spec?.template?.spec.containers ?? []);
    assert.equal(containers.length, SERVICES.length + 1);
    for (const { name, env } of containers) {
      assertKnown(
        name.replace(/^trainer-.*/, "trainer"),
        env.map((variable) => variable.name),
      );
      for (const { value = "" } of env.filter((variable) => variable.name.endsWith("_ADDRESS"))) {
        assert.ok(names.includes(value.replace(`:${GRPC_PORT}`, "")), `${name} dials ${value}`);
      }
    }
  });

  test("creates objects that Kubernetes accepts", { skip: validator.skip }, async () => {
    // KEDA's object has its own schema.
    const values = { ...ALL, trainers: { gpu: { enabled: true } } };
    await assertAccepted(validator.path, await renderChart(helm.path, values));
  });

  test("refuses values that it does not know", async () => {
    await assert.rejects(renderChart(helm.path, { trainers: { cpu: { replica: 3 } } }), /replica/);
    await assert.rejects(renderChart(helm.path, { stopGraceSeconds: "soon" }), /stopGraceSeconds/);
  });
});

test("docs/operating.md says who reads each variable", () => {
  const text = readFileSync(join(ROOT, "docs/operating.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([A-Z0-9_]+)` +\| ([^|]+) \|/gm)].map(([, name = "", who = ""]) => [
    name,
    who.trim(),
  ]);
  const described = new Map(rows as [string, string][]);
  for (const [service, variables] of known) {
    for (const name of variables) {
      const who = described.get(name) ?? "";
      assert.ok(who === "all" || who.split(", ").includes(service), `the table lacks ${name} of ${service}`);
    }
  }
  for (const [name, who] of described) {
    if (STANDARD.test(name) || who === "all") continue;
    for (const service of who.split(", ")) assertKnown(service, [name]);
  }
});
