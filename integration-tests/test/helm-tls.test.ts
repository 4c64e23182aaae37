/** What the Helm chart does for the safety of a pool: its certificates connect services, and each pod has only its own. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { Certificates, PoolKey } from "@gradpool/access";
import { healthProblem, startServer } from "@gradpool/rpc";
import { FakeCluster, type KeptSecret } from "../src/fake-cluster.js";
import { assertAccepted, deployTool, objectsIn, pythonWith, renderChart, Workspace } from "../src/index.js";

const helm = await deployTool("helm");
const validator = await pythonWith("deploy/helm/requirements.txt");

interface Pod {
  containers: { name: string; env: { name: string; value?: string }[]; startupProbe: unknown }[];
  volumes: { name: string; secret?: { secretName: string } }[];
}

describe("the Helm chart's safety", { skip: helm.skip || validator.skip }, () => {
  const render = async (values: object) => {
    const manifests = await renderChart(helm.path, values);
    await assertAccepted(validator.path, manifests);
    return objectsIn(manifests);
  };
  const podsOf = (objects: Awaited<ReturnType<typeof render>>) =>
    objects.flatMap(({ spec }) => (spec?.template ? [spec.template.spec as unknown as Pod] : []));

  test("connects services by certificates of one authority, and no other", async () => {
    await using workspace = await Workspace.create();
    const certificatesOf = async (objects: Awaited<ReturnType<typeof render>>, component: string) => {
      const secret = objects.find(
        ({ kind, metadata }) => kind === "Secret" && metadata.name === `pool-tls-${component}`,
      );
      const { data } = secret as unknown as { data: Record<string, string> };
      const folder = workspace.path(component + Math.random());
      await mkdir(folder);
      for (const [name, text] of Object.entries(data))
        await writeFile(`${folder}/${name}`, Buffer.from(text, "base64"));
      return new Certificates({ ca: `${folder}/ca.crt`, cert: `${folder}/tls.crt`, key: `${folder}/tls.key` });
    };
    const [release, other] = [await render({}), await render({})];
    using tls = await certificatesOf(release, "coordinator");
    const options = { services: [], key: PoolKey.random(), onInternalError: assert.ifError };
    await using server = await startServer({ listen: "127.0.0.1:0", tls, ...options });
    for (const component of ["tokenizer", "data-stream", "checkpoint-store", "trainer", "client"]) {
      using own = await certificatesOf(release, component);
      assert.equal(await healthProblem(server.address, own), "", component);
    }
    using foreign = await certificatesOf(other, "client");
    assert.notEqual(await healthProblem(server.address, foreign), "");
  });

  test("keeps its authority at upgrades, and renews certificates after half of their time", async () => {
    const day = 86_400;
    const now = Math.floor(Date.now() / 1000);
    await using cluster = await FakeCluster.start();
    const upgrade = async () => objectsIn(await cluster.render(helm.path)) as unknown as KeptSecret[];
    const secret = (objects: KeptSecret[], name: string) =>
      objects.find(({ kind, metadata }) => kind === "Secret" && metadata.name === `pool-tls-${name}`)!;
    const first = await upgrade();
    for (const object of first) if (object.kind === "Secret") cluster.secrets.set(object.metadata.name, object);
    // Renewed: made long ago, or gone. Kept: all others.
    cluster.aged("pool-tls-tokenizer", now - 200 * day);
    cluster.aged("pool-tls-coordinator", now - 100 * day);
    cluster.secrets.delete("pool-tls-trainer");
    const second = await upgrade();
    assert.deepEqual(secret(second, "authority").data, secret(first, "authority").data);
    for (const [name, isRenewed] of Object.entries({
      tokenizer: true,
      trainer: true,
      coordinator: false,
      client: false,
    })) {
      const [before, after] = [secret(first, name), secret(second, name)];
      assert.equal(before.data["tls.crt"] !== after.data["tls.crt"], isRenewed, name);
      assert.equal(before.data["ca.crt"], after.data["ca.crt"], name);
      const certificate = new X509Certificate(Buffer.from(after.data["tls.crt"] ?? "", "base64"));
      const authority = new X509Certificate(Buffer.from(after.data["ca.crt"] ?? "", "base64"));
      assert.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey), name);
    }
    const { "gradpool.dev/issued": issued } = secret(second, "coordinator").metadata.annotations;
    assert.equal(issued, String(now - 100 * day));
    assert.ok(Number(secret(second, "tokenizer").metadata.annotations["gradpool.dev/issued"]) >= now);
  });

  test("gives each pod its own certificate and the pool's key, and no other secret", async () => {
    for (const { containers, volumes } of podsOf(await render({}))) {
      const component = containers[0]?.name.replace(/^trainer-.*/, "trainer");
      const secrets = volumes.flatMap(({ secret }) => (secret ? [secret.secretName] : []));
      assert.deepEqual(secrets, ["pool-key", `pool-tls-${component}`]);
      assert.match(JSON.stringify(containers[0]?.startupProbe), /"scheme":"HTTPS"/);
      assert.ok(!containers[0]?.env.some(({ name }) => name === "GRADPOOL_INSECURE"));
    }
    const hub = podsOf(await render({ hub: { existingSecret: "hub-token" } }));
    for (const { containers } of hub) {
      const hasToken = JSON.stringify(containers).includes("hub-token");
      assert.equal(hasToken, containers[0]?.name !== "checkpoint-store", containers[0]?.name);
    }
    const plain = podsOf(await render({ tls: { enabled: false } }));
    for (const { containers } of plain) {
      assert.ok(containers[0]?.env.some(({ name, value }) => name === "GRADPOOL_INSECURE" && value === "1"));
    }
    const objects = await render({ tls: { existingSecrets: "own" }, key: { existingSecret: "own-key" } });
    assert.equal(objects.filter(({ kind }) => kind === "Secret").length, 0);
    for (const { volumes } of podsOf(objects)) {
      assert.ok(volumes.some(({ secret }) => secret?.secretName.startsWith("own-") && secret.secretName !== "own-key"));
    }
  });

  test("lets a pod connect only to what it calls", async () => {
    const objects = await render({
      ...{ nats: { url: "nats://a:4222,nats://b:4333" }, tracing: { endpoint: "http://jaeger:4318" } },
      ...{ checkpointStore: { s3: { endpoint: "http://minio:9000/" } }, networkPolicy: { egress: [] } },
    });
    interface Rule {
      ports: { port: number }[];
      to?: { podSelector: { matchLabels: Record<string, string> } }[];
    }
    const rulesOf = (component: string) =>
      (
        objects.find(({ kind, metadata }) => kind === "NetworkPolicy" && metadata.name === `pool-${component}`)
          ?.spec as unknown as { egress: Rule[] }
      ).egress;
    const portsOf = (component: string) => rulesOf(component).flatMap(({ ports }) => ports.map(({ port }) => port));
    const calledBy = (component: string) =>
      rulesOf(component)
        .flatMap(({ to = [] }) => to.map(({ podSelector }) => podSelector.matchLabels["app.kubernetes.io/component"]))
        .sort();
    assert.deepEqual(calledBy("coordinator"), ["checkpoint-store", "data-stream", "tokenizer"]);
    assert.deepEqual(calledBy("data-stream"), ["tokenizer"]);
    assert.deepEqual(calledBy("trainer-cpu"), ["coordinator"]);
    assert.deepEqual([calledBy("tokenizer"), calledBy("checkpoint-store")], [[], []]);
    assert.deepEqual(portsOf("coordinator"), [53, 53, 7070, 4318, 4222, 4333]);
    assert.deepEqual(portsOf("checkpoint-store"), [53, 53, 4318, 9000]);
    assert.deepEqual(portsOf("tokenizer"), [53, 53, 4318]);
  });
});
