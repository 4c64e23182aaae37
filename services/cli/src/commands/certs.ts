/** gradpool certs: certificates for connections between machines. */
import type { Command } from "commander";
import type { ProgramOptions } from "../command-options.js";
import { addCertsInit } from "./certs-init.js";

export function addCerts(group: Command, options: ProgramOptions): void {
  addCertsInit(group, options);
}
