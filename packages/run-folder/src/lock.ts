/** .gradpool.lock: which run has an output folder, through which process. */
import { identityOf, processIdentity } from "@gradpool/service-kit";
import { z } from "zod";

export const MAX_LOCK_BYTES = 64 << 10;

const schema = processIdentity.extend({
  run_id: z.string(),
  /** Distinguishes two stores of one process. */
  owner: z.string(),
  /** How often the run has changed hands between coordinators; absent: never. */
  owner_epoch: z.int().nonnegative().default(0),
});
export type Lock = z.infer<typeof schema>;

/** The lock by which this process, in the store `owner`, holds a folder for a run. */
export function lockOf(runId: string, owner: string, ownerEpoch = 0): Lock {
  return { run_id: runId, ...identityOf(), owner, owner_epoch: ownerEpoch };
}

export function lockBytes({ owner_epoch, ...lock }: Lock): Uint8Array {
  const fields = owner_epoch > 0 ? { ...lock, owner_epoch } : lock;
  return new TextEncoder().encode(`${JSON.stringify(fields)}\n`);
}

/** Undefined when the text is not a lock: its writer died while writing it. */
export function parseLock(text: string): Lock | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
