/** How a person gets into the dashboard of a local stack. */
import { readKeyFile } from "@gradpool/access";
import { KEY_PARAMETER } from "@gradpool/service-kit";
import type { Output } from "../terminal/output.js";
import type { LocalStack } from "./local-stack.js";

/** The link with the key where a person reads it; a log that collects this output gets the key's file instead. */
export function dashboardLines({ httpAddress, keyFile }: LocalStack, output: Output, tail = ""): string[] {
  const link = `http://${httpAddress}/`;
  if (output.isTerminal) return [`dashboard: ${link}?${KEY_PARAMETER}=${readKeyFile(keyFile).reveal()}${tail}`];
  return [`dashboard: ${link}${tail}`, `its key: ${keyFile}; open it once as ${link}?${KEY_PARAMETER}=KEY`];
}
