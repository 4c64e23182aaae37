/** What a run gives that nothing disturbs. */
import type { RunSpec } from "@gradpool/rpc";
import { Stack } from "./stack.js";
import { fingerprint, type Workspace } from "./tiny-coder.js";

export type Fingerprint = Awaited<ReturnType<typeof fingerprint>>;

/** Trains it with one trainer, runs recorded in SQLite. */
export async function quietFingerprint(workspace: Workspace, spec: RunSpec): Promise<Fingerprint> {
  await using stack = await Stack.start({ trainers: 1, runStore: workspace.path("runs.sqlite") });
  await stack.train(spec);
  return await fingerprint(spec.outputDir);
}
