/** A real Jaeger 2, and the traces in its HTTP API, by the paths that versions 1 and 2 both answer. */
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { freePorts, killServer } from "./tools.js";

/** The ports were free a moment ago, but another process may take one first. */
const MOST_STARTS = 3;
const LONGEST_TEST_MS = 3_600_000;

export interface JaegerSpan {
  spanId: string;
  name: string;
  /** The process's name for itself, such as "gradpool-trainer". */
  service: string;
  /** Tells processes of one service apart. */
  instance: string;
  /** Parent span; undefined for a trace's root. */
  parentId: string | undefined;
  /** Traces that it is linked to. */
  linkedTraces: string[];
  isError: boolean;
  tags: Record<string, unknown>;
}

interface ApiTrace {
  traceID: string;
  spans: {
    spanID: string;
    operationName: string;
    processID: string;
    references: { refType: "CHILD_OF" | "FOLLOWS_FROM"; traceID: string; spanID: string }[];
    tags: ApiTag[];
  }[];
  processes: Record<string, { serviceName: string; tags: ApiTag[] }>;
}

interface ApiTag {
  key: string;
  value: unknown;
}

export class Jaeger implements AsyncDisposable {
  private constructor(
    private readonly child: ChildProcess,
    /** Address for people: GRADPOOL_JAEGER_URL. */
    readonly url: string,
    /** OTEL_EXPORTER_OTLP_ENDPOINT. */
    readonly otlpEndpoint: string,
  ) {}

  /** `path` of its program, as deployTool("jaeger") finds it; it is built the first time, which takes minutes. */
  static async start(path: string): Promise<Jaeger> {
    for (let i = 1; ; i++) {
      const jaeger = await Jaeger.#tryStart(path);
      if (jaeger) return jaeger;
      if (i === MOST_STARTS) throw new Error("Jaeger ends before it is ready");
    }
  }

  static async #tryStart(path: string): Promise<Jaeger | undefined> {
    const [query, queryGrpc, otlp] = (await freePorts(3)) as [number, number, number];
    // A configuration in an argument: YAML, of which JSON is a part.
    const configuration = `yaml:${JSON.stringify(configurationOf(query, queryGrpc, otlp))}`;
    const child = spawn(path, ["--config", configuration], { stdio: "ignore" });
    const jaeger = new Jaeger(child, `http://127.0.0.1:${query}`, `http://127.0.0.1:${otlp}`);
    while (child.exitCode === null) {
      const answers = await Promise.allSettled([fetch(jaeger.url), fetch(jaeger.otlpEndpoint)]);
      if (answers.every(({ status }) => status === "fulfilled")) return jaeger;
      await delay(50);
    }
    return undefined;
  }

  /** All spans of a trace that have arrived; none if the trace is unknown. */
  async spans(traceId: string): Promise<JaegerSpan[]> {
    const [trace] = await this.#traces(`/api/traces/${traceId}`);
    return trace ? spansOf(trace) : [];
  }

  /** Spans of all traces that contain an operation of a service. */
  async find(service: string, operation: string): Promise<JaegerSpan[]> {
    const query = new URLSearchParams({
      ...{ "query.service_name": service, "query.operation_name": operation, "query.num_traces": "1000" },
      "query.start_time_min": new Date(Date.now() - LONGEST_TEST_MS).toISOString(),
      "query.start_time_max": new Date().toISOString(),
    });
    const text = await (await fetch(`${this.url}/api/v3/traces?${query.toString()}`)).text();
    const ids = new Set([...text.matchAll(/"traceId":"([0-9a-f]{32})"/g)].map(([, id = ""]) => id));
    return (await Promise.all([...ids].map((id) => this.spans(id)))).flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await killServer(this.child);
  }

  async #traces(path: string): Promise<ApiTrace[]> {
    const response = await fetch(this.url + path);
    return ((await response.json()) as { data: ApiTrace[] | null }).data ?? [];
  }
}

/** Traces in memory, from OTLP over HTTP, and no other ports. */
function configurationOf(query: number, queryGrpc: number, otlp: number): object {
  const at = (port: number) => ({ endpoint: `127.0.0.1:${port}` });
  return {
    service: {
      extensions: ["jaeger_storage", "jaeger_query"],
      pipelines: { traces: { receivers: ["otlp"], processors: [], exporters: ["jaeger_storage_exporter"] } },
      telemetry: { metrics: { level: "none" } },
    },
    extensions: {
      jaeger_storage: { backends: { memory: { memory: { max_traces: 10_000 } } } },
      jaeger_query: { storage: { traces: "memory" }, http: at(query), grpc: at(queryGrpc) },
    },
    receivers: { otlp: { protocols: { http: at(otlp) } } },
    exporters: { jaeger_storage_exporter: { trace_storage: "memory" } },
  };
}

function spansOf({ spans, processes, traceID }: ApiTrace): JaegerSpan[] {
  return spans.map(({ spanID, operationName, processID, references, tags }) => {
    const process = processes[processID];
    const values = Object.fromEntries(tags.map(({ key, value }) => [key, value]));
    return {
      spanId: spanID,
      name: operationName,
      service: process?.serviceName ?? "",
      instance: String(process?.tags.find(({ key }) => key === "service.instance.id")?.value),
      parentId: references.find(({ refType, traceID: id }) => refType === "CHILD_OF" && id === traceID)?.spanID,
      linkedTraces: references.filter(({ refType }) => refType === "FOLLOWS_FROM").map(({ traceID: id }) => id),
      isError: values["error"] === true,
      tags: values,
    };
  });
}
