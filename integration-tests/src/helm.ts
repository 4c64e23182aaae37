/** The Helm chart, rendered by a real helm. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { ROOT } from "./structure.js";

const run = promisify(execFile);
export const CHART = join(ROOT, "deploy/helm/gradpool");

/** Of Kubernetes, for which charts are rendered and checked. */
export const KUBE_VERSION = "1.33.0";

export interface KubernetesObject {
  kind: string;
  metadata: { name: string; labels: Record<string, unknown> };
  spec?: {
    template?: {
      metadata: { labels: Record<string, unknown> };
      spec: { containers: { name: string; env: { name: string; value?: string }[] }[] };
    };
    /** Of a network policy. */
    ingress?: { from?: unknown[]; ports: { port: string }[] }[];
  };
}

/** The manifests of a release with these values; `path` as deployTool("helm") finds it. */
export async function renderChart(path: string, values: object, release = "pool"): Promise<string> {
  return withFile(JSON.stringify(values), async (file) => {
    const flags = [CHART, "--values", file, "--kube-version", KUBE_VERSION];
    return (await run(path, ["template", release, ...flags])).stdout;
  });
}

/** helm's own checks of the chart with these values. */
export async function lintChart(path: string, values: object): Promise<void> {
  await withFile(JSON.stringify(values), (file) =>
    run(path, ["lint", CHART, "--values", file, "--kube-version", KUBE_VERSION]),
  );
}

export const objectsIn = (manifests: string): KubernetesObject[] =>
  parseAllDocuments(manifests).map((document) => document.toJS() as KubernetesObject);

/** Checks manifests against Kubernetes's schemas; `python` as pythonWith("deploy/helm/requirements.txt") makes it. */
export async function assertAccepted(python: string, manifests: string): Promise<void> {
  await withFile(manifests, (file) => run(python, ["-m", "kubernetes_validate", "-k", KUBE_VERSION, "--strict", file]));
}

async function withFile<T>(content: string, work: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-test-"));
  try {
    const file = join(folder, "file.yaml");
    await writeFile(file, content);
    return await work(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
