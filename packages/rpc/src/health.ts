import type { Certificates } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { createClient } from "./client.js";
import type { CallOptions, Definition } from "./methods.js";

/** How long a service may take to answer. */
const TIMEOUT_MS = 2_000;

type Check = (request: { service: string }, options: CallOptions) => Promise<{ status: string }>;

/** Checks the service at `address` ("host:port"): empty when it serves, else what is wrong. */
export async function healthProblem(address: string, tls?: Certificates): Promise<string> {
  try {
    const status = await healthStatus(address, tls);
    return status === "SERVING" ? "" : `it reports ${status}`;
  } catch (error) {
    return GradpoolError.from(error).message.split("\n")[0] || "it does not answer";
  }
}

/** Whether the service at `address` ("host:port") answers at all, whatever it says. */
export function answers(address: string, tls?: Certificates): Promise<boolean> {
  return healthStatus(address, tls).then(
    () => true,
    () => false,
  );
}

async function healthStatus(address: string, tls: Certificates | undefined): Promise<string> {
  const { service } = (await import("grpc-health-check")).default;
  const client = createClient(service as Definition, address, [], tls);
  try {
    const { status } = await (client["Check"] as unknown as Check)({ service: "" }, { timeoutMs: TIMEOUT_MS });
    return status;
  } finally {
    client.close();
  }
}
