/** As much of a Kubernetes API as helm asks for when a chart looks its secrets up. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { CHART, KUBE_VERSION } from "./helm.js";

export interface KeptSecret {
  kind: string;
  metadata: { name: string; annotations: Record<string, string> };
  data: Record<string, string>;
}

const run = promisify(execFile);

const SECRET = /^\/api\/v1\/namespaces\/default\/secrets\/([^/?]+)/;
const ANSWERS: Record<string, object> = {
  "/version": { major: "1", minor: "33", gitVersion: `v${KUBE_VERSION}` },
  "/api": { kind: "APIVersions", versions: ["v1"] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": {
    ...{ kind: "APIResourceList", groupVersion: "v1" },
    resources: [{ name: "secrets", singularName: "secret", namespaced: true, kind: "Secret", verbs: ["get", "list"] }],
  },
};

export class FakeCluster implements AsyncDisposable {
  /** Those of the namespace "default", by name. */
  readonly secrets = new Map<string, KeptSecret>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = new URL(request.url ?? "", "http://cluster").pathname;
      const [, name = ""] = SECRET.exec(path) ?? [];
      const found = ANSWERS[path] ?? this.secrets.get(name);
      const missing = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 };
      response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify(found ?? missing));
    });
  }

  static async start(): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    cluster.#server.listen(0, "127.0.0.1");
    await once(cluster.#server, "listening");
    return cluster;
  }

  /** Sets when a secret's certificate was issued, in seconds since 1970. */
  aged(name: string, issued: number): void {
    const secret = this.secrets.get(name);
    if (secret) secret.metadata.annotations["gradpool.dev/issued"] = String(issued);
  }

  /** What an upgrade of the release "pool" would apply; `helm` as deployTool finds it. */
  async render(helm: string): Promise<string> {
    const { port } = this.#server.address() as AddressInfo;
    const flags = [
      "--kube-version",
      KUBE_VERSION,
      "--dry-run=server",
      "--kube-apiserver",
      `http://127.0.0.1:${port}`,
      "--disable-openapi-validation",
    ];
    const { stdout } = await run(helm, ["template", "pool", CHART, ...flags], {
      env: { ...process.env, KUBECONFIG: "/dev/null" },
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
