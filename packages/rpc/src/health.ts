import { Client as GrpcClient, credentials } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { fromStatus } from "./status.js";

/** How long a service may take to answer. */
const TIMEOUT_MS = 2_000;

/** Asks the service at `address` ("host:port") how it is: empty when it serves, else what is wrong. */
export function healthProblem(address: string): Promise<string> {
  const client = new GrpcClient(address, credentials.createInsecure());
  const check = healthService["Check"] as {
    path: string;
    requestSerialize: (request: object) => Buffer;
    responseDeserialize: (bytes: Buffer) => { status: string };
  };
  return new Promise<string>((resolve) => {
    client.makeUnaryRequest(
      check.path,
      check.requestSerialize,
      check.responseDeserialize,
      { service: "" },
      { deadline: Date.now() + TIMEOUT_MS },
      (error, response) => {
        if (error) resolve(fromStatus(error).message.split("\n")[0] ?? "it does not answer");
        else resolve(response?.status === "SERVING" ? "" : `it says ${response?.status ?? "nothing"}`);
      },
    );
  }).finally(() => client.close());
}
