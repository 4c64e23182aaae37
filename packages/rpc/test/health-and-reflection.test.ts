import assert from "node:assert/strict";
import { authorizationOf } from "@gradpool/access";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  type GrpcObject,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { service, startServer, TokenizerServiceService } from "@gradpool/rpc";
import { key } from "./key.js";

const require = createRequire(import.meta.url);
const healthProto = join(dirname(require.resolve("grpc-health-check/package.json")), "proto/health/v1/health.proto");

type Check = (request: { service: string }, done: (error: Error | null, response: { status: string }) => void) => void;

test("every served service is healthy and reflected", async () => {
  const never = () => Promise.reject(new Error("not called"));
  const handlers = { getTokenizer: never, decode: never, encode: never, getTokenizerFiles: never } as unknown;
  const server = await startServer({
    key,
    listen: "127.0.0.1:0",
    services: [service(TokenizerServiceService, handlers as never)],
    onInternalError: (error) => assert.fail(String(error)),
  });
  try {
    const loaded = loadPackageDefinition(loadSync(healthProto, { enums: String }));
    const { Health } = ((loaded["grpc"] as GrpcObject)["health"] as GrpcObject)["v1"] as GrpcObject;
    const client = new (Health as ServiceClientConstructor)(server.address, credentials.createInsecure());
    const { check } = client as unknown as { check: Check };
    for (const name of ["", "gradpool.v1.TokenizerService"]) {
      const { status } = await new Promise<{ status: string }>((resolve, reject) => {
        check.call(client, { service: name }, (error, response) => (error ? reject(error) : resolve(response)));
      });
      assert.equal(status, "SERVING", name);
    }
    client.close();
    assert.deepEqual(await reflectedServices(server.address), ["gradpool.v1.TokenizerService"]);
  } finally {
    await server[Symbol.asyncDispose]();
  }
});

/** Names that grpc.reflection.v1 lists. */
async function reflectedServices(address: string): Promise<string[]> {
  const reflectionDir = dirname(require.resolve("@grpc/reflection/package.json"));
  const proto = join(reflectionDir, "build/proto/grpc/reflection/v1/reflection.proto");
  const loaded = loadPackageDefinition(loadSync(proto));
  const { ServerReflection } = ((loaded["grpc"] as GrpcObject)["reflection"] as GrpcObject)["v1"] as GrpcObject;
  const client = new (ServerReflection as ServiceClientConstructor)(address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", authorizationOf(key));
  type Answer = { listServicesResponse?: { service: { name: string }[] } };
  const call = (
    client as unknown as {
      serverReflectionInfo: (
        metadata: Metadata,
      ) => AsyncIterable<Answer> & { write(request: object): void; end(): void };
    }
  ).serverReflectionInfo(metadata);
  call.write({ listServices: "" });
  call.end();
  const names: string[] = [];
  for await (const { listServicesResponse } of call)
    names.push(...(listServicesResponse?.service ?? []).map(({ name }) => name));
  client.close();
  return names.filter((name) => name.startsWith("gradpool."));
}
