import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";

export type ServiceName = "tokenizer" | "data-stream" | "checkpoint-store" | "coordinator" | "trainer";

const require = createRequire(import.meta.url);

/** The file to run a service from, or another `program` of it: in the workspace, or where npm installed it. */
export function entryPoint(service: ServiceName, program = "main"): string {
  const manifest = `@gradpool/${service}-service/package.json`;
  try {
    const main = join(dirname(require.resolve(manifest)), `dist/bin/${program}.js`);
    if (existsSync(main)) return main;
  } catch {
    // Falls through to the same advice.
  }
  throw new GradpoolError(
    "failed_precondition",
    `the ${service} service is not installed; run npm install, and in a checkout npm run build`,
  );
}
