/** .gradpool.lock: which run has an output folder, through which process. */
import { identityOf, processIdentity } from "@gradpool/service-kit";
import { z } from "zod";

export const MAX_LOCK_BYTES = 64 << 10;

const schema = processIdentity.extend({
  run_id: z.string(),
  /** Distinguishes two stores of one process. */
  owner: z.string(),
});
export type Lock = z.infer<typeof schema>;

/** The lock by which this process, in the store `owner`, holds a folder for a run. */
export function lockOf(runId: string, owner: string): Lock {
  return { run_id: runId, ...identityOf(), owner };
}

export function lockBytes(lock: Lock): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(lock)}\n`);
}

/** Undefined when the text is not a lock: its writer died while writing it. */
export function parseLock(text: string): Lock | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
