/** A parent for run-service.test.ts: starts the example service and tells its process id. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const child = fork(fileURLToPath(new URL("./example-service.js", import.meta.url)), { stdio: "ignore" });
// One that hangs while it starts never says that it is ready.
if (process.env["EXAMPLE_HANGS"] === "starting") child.once("spawn", () => process.send?.({ pid: child.pid }));
else child.on("message", () => process.send?.({ pid: child.pid }));
