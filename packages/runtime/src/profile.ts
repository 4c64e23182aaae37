/** From ONNX Runtime's profile: which execution provider ran each node. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

interface ProfileEvent {
  cat?: string;
  name?: string;
  args?: { provider?: string; op_name?: string };
}

export interface ProfiledNodes {
  /** Nodes that ran, by execution provider. */
  byProvider: Record<string, number>;
  /** How many of them copied between devices. */
  copies: number;
}

/** Reads the profile that a released session left under `prefix`. */
export async function profiledNodes(prefix: string): Promise<ProfiledNodes> {
  const files = (await readdir(dirname(prefix))).filter((file) => file.startsWith(basename(prefix))).sort();
  const file = files.at(-1);
  if (!file) throw new Error(`no profile was written under ${prefix}`);
  const events = JSON.parse(await readFile(join(dirname(prefix), file), "utf8")) as ProfileEvent[];
  const ran = events.filter(({ cat, name }) => cat === "Node" && name?.endsWith("_kernel_time"));
  const byProvider: Record<string, number> = {};
  for (const { args } of ran)
    byProvider[args?.provider ?? "unknown"] = (byProvider[args?.provider ?? "unknown"] ?? 0) + 1;
  return { byProvider, copies: ran.filter(({ args }) => args?.op_name?.startsWith("Memcpy")).length };
}
