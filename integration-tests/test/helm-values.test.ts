/** The Helm chart with unusual releases and values: what Kubernetes would refuse, or understand in another way. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  assertAccepted,
  deployTool,
  objectsIn,
  pythonWith,
  renderChart,
  type KubernetesObject,
} from "@gradpool/integration-tests";
import { ROOT } from "../src/structure.js";

const helm = await deployTool("helm");
const validator = await pythonWith(join(ROOT, "deploy/helm/requirements.txt"));

/** RFC 1035, which holds for a Service's name. */
const SERVICE_NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
/** Kubernetes adds ten characters to the name of a StatefulSet's revision, which is a label. */
const STATEFUL_SET_LENGTH = 52;

/** Names that Helm itself allows: up to 53 characters, and dots. */
const RELEASES = ["123", "true", "null", "1pool", "my.pool", "1e3", `${"a".repeat(39)}.${"b".repeat(13)}`];

const POOL = { enabled: true, replicas: 1, device: "cpu", threads: 1, gpus: 0, resources: {} };

/** Title and values of charts that must render. */
const ACCEPTED: Record<string, object> = {
  "sizes in decimal units": {
    coordinator: { storage: { size: "10G" } },
    volumes: { outputsSize: "1.5T", cacheSize: "5368709120" },
  },
  "names that YAML reads as something else": {
    ...{ nats: { url: "nats://nats", existingSecret: "123" }, hub: { existingSecret: "true" } },
    ...{ volumes: { dataClaim: "1e3", outputsClaim: "null" }, image: { pullSecrets: [{ name: "0x1" }] } },
    checkpointStore: { s3: { existingSecret: "0123" } },
    coordinator: { storage: { className: "yes" } },
    trainers: {
      "123": { ...POOL, autoscaling: { enabled: false } },
      true: { ...POOL, autoscaling: { enabled: false } },
    },
  },
  "a fractional and a large number": { coordinator: { recoverySeconds: 0.5 }, stopGraceSeconds: 86_400 },
  "no trainers": { trainers: { cpu: { enabled: false } } },
  "further variables": {
    extraEnv: [{ name: "OTEL_RESOURCE_ATTRIBUTES", value: "team=ml" }],
    coordinator: { extraEnv: [{ name: "NATS_JS_DOMAIN", value: "hub" }] },
    trainers: { cpu: { extraEnv: [{ name: "HF_TOKEN", valueFrom: { secretKeyRef: { name: "hub", key: "token" } } }] } },
  },
  "pinned images": { image: { digests: { coordinator: `sha256:${"0".repeat(64)}` } } },
  "other roots": { roots: ["/models", "s3://team/results"] },
  "nobody may connect": { networkPolicy: { clients: [], monitoring: [] } },
  "neither trainers nor clients": { trainers: { cpu: { enabled: false } }, networkPolicy: { clients: [] } },
  "lists that are removed": { networkPolicy: { clients: null, monitoring: null } },
};

/** Title, values, and what helm says. */
const REFUSED: [string, object, RegExp][] = [
  ["a digest that is none", { image: { digests: { trainer: "0.1.0" } } }, /digests/],
  ["a root that is a name", { roots: ["models"] }, /roots/],
  ["a size that is none", { volumes: { cacheSize: "much" } }, /cacheSize/],
  ["a size of nothing", { coordinator: { storage: { size: "0Gi" } } }, /size/],
  ["a selector that names nobody", { networkPolicy: { clients: [{}] } }, /clients/],
  [
    "autoscaling without bounds",
    { trainers: { fast: { ...POOL, autoscaling: { enabled: true } } } },
    /minReplicas|maxReplicas/,
  ],
  [
    "bounds in the wrong order",
    { trainers: { cpu: { autoscaling: { enabled: true, minReplicas: 9, maxReplicas: 2 } } } },
    /minReplicas is above maxReplicas/,
  ],
  ["a variable that is not a text", { extraEnv: [{ name: "GRADPOOL_WORKERS", value: 3 }] }, /extraEnv/],
];

function assertNames({ kind, metadata, spec }: KubernetesObject): void {
  const { name } = metadata;
  assert.ok(typeof name === "string" && SERVICE_NAME.test(name), `${kind} ${name}`);
  if (kind === "StatefulSet") assert.ok(name.length <= STATEFUL_SET_LENGTH, name);
  for (const labels of [metadata.labels, spec?.template?.metadata.labels ?? {}]) {
    for (const [label, value] of Object.entries(labels)) {
      assert.ok(typeof value === "string" && LABEL.test(value), `${kind} ${name}: ${label} is ${String(value)}`);
    }
  }
}

/** Without `from`, or with an empty one, a rule lets everybody in. */
function assertClosed({ kind, metadata, spec }: KubernetesObject): void {
  if (kind !== "NetworkPolicy") return;
  for (const { from } of spec?.ingress ?? []) assert.ok(from?.length, `${metadata.name} lets everybody in`);
}

describe("the Helm chart", { skip: helm.skip || validator.skip }, () => {
  const accepted = async (values: object, release?: string): Promise<KubernetesObject[]> => {
    const manifests = await renderChart(helm.path, values, release);
    await assertAccepted(validator.path, manifests);
    const objects = objectsIn(manifests);
    for (const object of objects) {
      assertNames(object);
      assertClosed(object);
    }
    return objects;
  };

  for (const release of RELEASES) {
    test(`has valid names as the release ${release}`, async () => {
      await accepted({}, release);
    });
  }

  for (const [title, values] of Object.entries(ACCEPTED)) {
    test(`takes ${title}`, async () => {
      await accepted(values);
    });
  }

  for (const [title, values, message] of REFUSED) {
    test(`refuses ${title}`, async () => {
      await assert.rejects(renderChart(helm.path, values), message);
    });
  }

  test("opens no port that nobody may use", async () => {
    const objects = await accepted({ networkPolicy: { clients: [], monitoring: [] } });
    const open = objects.flatMap(({ spec }) => spec?.ingress ?? []).flatMap(({ ports }) => ports);
    assert.deepEqual([...new Set(open.map(({ port }) => port))], ["grpc"], "only between our own services");
  });

  test("gives further variables to each service that they are for", async () => {
    const objects = await accepted(ACCEPTED["further variables"] ?? {});
    const containers = objects.flatMap(({ spec }) => spec?.template?.spec.containers ?? []);
    const having = (variable: string) =>
      containers.filter(({ env }) => env.some(({ name }) => name === variable)).map(({ name }) => name);
    assert.equal(having("OTEL_RESOURCE_ATTRIBUTES").length, containers.length);
    assert.deepEqual([having("NATS_JS_DOMAIN"), having("HF_TOKEN")], [["coordinator"], ["trainer-cpu"]]);
  });
});
