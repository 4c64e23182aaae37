/** A service for supervision.test.ts, as a process of its own: real in its life and its port, and of no other use. */
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { GradpoolError } from "@gradpool/errors";
import { Registry, runService } from "@gradpool/service-kit";

await runService("mortal", async (env) => {
  // Where this file exists, the service ends before it is ready.
  if (existsSync(env["MORTAL_CRASHES"] ?? "")) process.exit(7);
  if (existsSync(env["MORTAL_REFUSES"] ?? "")) throw new GradpoolError("unavailable", "no luck; try another day");
  const [, host, port] = /^(.*):(\d+)$/.exec(env["GRADPOOL_LISTEN"] ?? "") ?? [];
  const server = createServer((socket) => socket.end(env["MORTAL_NAME"] ?? "")).listen(Number(port), host);
  await once(server, "listening");
  const bound = server.address();
  return {
    metrics: new Registry(),
    address: `${host}:${typeof bound === "object" ? bound?.port : ""}`,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
});
