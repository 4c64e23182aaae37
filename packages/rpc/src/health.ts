import { GradpoolError } from "@gradpool/errors";
import { createClient } from "./client.js";
import type { CallOptions, Definition } from "./methods.js";

/** How long a service may take to answer. */
const TIMEOUT_MS = 2_000;

type Check = (request: { service: string }, options: CallOptions) => Promise<{ status: string }>;

/** Checks the service at `address` ("host:port"): empty when it serves, else what is wrong. */
export async function healthProblem(address: string): Promise<string> {
  const { service } = await import("grpc-health-check");
  const client = createClient(service as Definition, address);
  try {
    const { status } = await (client["Check"] as unknown as Check)({ service: "" }, { timeoutMs: TIMEOUT_MS });
    return status === "SERVING" ? "" : `it reports ${status}`;
  } catch (error) {
    return GradpoolError.from(error).message.split("\n")[0] || "it does not answer";
  } finally {
    client.close();
  }
}
