/** A real Jaeger, and the traces in its HTTP API. */
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { freePorts, killServer } from "./tools.js";

/** The ports were free a moment ago, but another process may take one first. */
const MOST_STARTS = 3;

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
    const [query, queryGrpc, otlp] = await freePorts(3);
    const listen = {
      "admin.http": 0,
      "collector.grpc-server": 0,
      "collector.http-server": 0,
      "collector.otlp.grpc": 0,
      "collector.otlp.http": otlp,
      "query.http-server": query,
      "query.grpc-server": queryGrpc,
    };
    const args = Object.entries(listen).map(([server, port]) => `--${server}.host-port=127.0.0.1:${port}`);
    const child = spawn(path, [...args, "--memory.max-traces=10000"], { stdio: "ignore" });
    const jaeger = new Jaeger(child, `http://127.0.0.1:${query}`, `http://127.0.0.1:${otlp}`);
    while (child.exitCode === null) {
      const answers = await Promise.allSettled([fetch(`${jaeger.url}/api/services`), fetch(jaeger.otlpEndpoint)]);
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
    const traces = await this.#traces(`/api/traces?limit=1000&service=${service}&operation=${operation}`);
    return traces.flatMap(spansOf);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await killServer(this.child);
  }

  async #traces(path: string): Promise<ApiTrace[]> {
    const response = await fetch(this.url + path);
    return ((await response.json()) as { data: ApiTrace[] | null }).data ?? [];
  }
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
