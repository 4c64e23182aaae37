import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { startTracing } from "@gradpool/tracing";

interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  links: { traceId: string }[];
  status: { code: number; message?: string };
  attributes: { key: string; value: Record<string, unknown> }[];
}

interface Exported {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { spans: ReceivedSpan[] }[];
  }[];
}

/** An OTLP collector over HTTP on 127.0.0.1, and tracing that sends to it until it is disposed. */
export async function traceToCollector(env: Record<string, string> = {}, status = 200) {
  const spans: ReceivedSpan[] = [];
  const services = new Set<string>();
  /** Of the resource that came last. */
  const resource: Record<string, string | undefined> = {};
  const warnings: string[] = [];
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      for (const { resource: sender, scopeSpans } of (body as Exported).resourceSpans) {
        for (const { key, value } of sender.attributes) resource[key] = value.stringValue;
        services.add(resource["service.name"] ?? "");
        for (const scope of scopeSpans) spans.push(...scope.spans);
      }
      response.writeHead(status, { "content-type": "application/json" }).end("{}");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...env };
  // The SDK reads the process's environment.
  Object.assign(process.env, variables);
  const tracing = await startTracing("test", variables, (message) => warnings.push(message));
  const end = async () => {
    await tracing[Symbol.asyncDispose]();
    for (const name of Object.keys(variables)) delete process.env[name];
    server.closeAllConnections();
    server.close();
  };
  return { spans, services, resource, warnings, end };
}
