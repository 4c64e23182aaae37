/** A service for run-service.test.ts: started as a process of its own. */
import { GradpoolError } from "@gradpool/errors";
import { runService } from "@gradpool/service-kit";
import { Registry } from "prom-client";

function hang(): Promise<never> {
  process.send?.("hangs");
  return new Promise(() => {});
}

await runService("example", async (env) => {
  if (env["EXAMPLE_FAILS"]) throw new GradpoolError("unavailable", "the port is taken; choose another");
  // Something that keeps the process alive, as a server would.
  const alive = setInterval(() => {}, 1_000);
  if (env["EXAMPLE_HANGS"] === "starting") await hang();
  return {
    address: "127.0.0.1:1",
    metrics: new Registry(),
    httpRoutes: [{ method: "GET", path: "/", handle: (_request, response) => void response.end("hello\n") }],
    problem: async () => (env["EXAMPLE_LACKS"] ? `${env["EXAMPLE_LACKS"]} is unavailable` : ""),
    async [Symbol.asyncDispose]() {
      if (env["EXAMPLE_HANGS"] === "stopping") await hang();
      if (env["EXAMPLE_ENDS_LATE"]) await new Promise<void>((resolve) => process.once("message", () => resolve()));
      clearInterval(alive);
    },
  };
});
