/** From ONNX Runtime's profile: which execution provider ran each node, and what took the time. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

interface ProfileEvent {
  cat?: string;
  name?: string;
  /** Begin and duration in microseconds. */
  ts: number;
  dur: number;
  args?: { provider?: string; op_name?: string };
}

export interface ProfiledNodes {
  /** Nodes that ran, by execution provider. */
  byProvider: Record<string, number>;
  /** How many of them copied between devices. */
  copies: number;
  /** Of the last run: earlier ones compile shaders. */
  times: RunTimes;
}

/** In milliseconds. */
export interface RunTimes {
  /** From the call to its results. */
  run: number;
  /** In nodes, on the processor: it computes them, or puts them into a GPU's queue. */
  nodes: number;
  /** That the GPU computed, as its own clock says; only WebGPU's provider records it, on GPUs with timestamp queries. */
  device?: number;
  /** That the GPU had nothing to do between its first node and its last. */
  deviceIdle?: number;
}

/** Reads the profile that a released session left under `prefix`. Its runs must have had the same nodes. */
export async function profiledNodes(prefix: string): Promise<ProfiledNodes> {
  const files = (await readdir(dirname(prefix))).filter((file) => file.startsWith(basename(prefix))).sort();
  const file = files.at(-1);
  if (!file) throw new Error(`no profile was written under ${prefix}`);
  const events = JSON.parse(await readFile(join(dirname(prefix), file), "utf8")) as ProfileEvent[];
  const ran = events.filter(({ cat, name }) => cat === "Node" && name?.endsWith("_kernel_time"));
  const byProvider: Record<string, number> = {};
  for (const { args } of ran)
    byProvider[args?.provider ?? "unknown"] = (byProvider[args?.provider ?? "unknown"] ?? 0) + 1;
  const copies = ran.filter(({ args }) => args?.op_name?.startsWith("Memcpy")).length;
  const runs = events.filter(({ cat, name }) => cat === "Session" && name === "model_run");
  const ofLast = (all: readonly ProfileEvent[]) => all.slice(all.length - Math.floor(all.length / runs.length));
  const kernels = ofLast(events.filter(({ cat }) => cat === "Api"));
  // A Scan's own nodes are there, too.
  const nodes = ofLast(ran).filter(({ args }) => args?.op_name !== "Scan");
  const times = { run: total(ofLast(runs)), nodes: total(nodes), ...deviceTimes(kernels) };
  return { byProvider, copies, times };
}

function deviceTimes(kernels: readonly ProfileEvent[]): Pick<RunTimes, "device" | "deviceIdle"> {
  const [first, last] = [kernels[0], kernels.at(-1)];
  if (!first || !last) return {};
  const device = total(kernels);
  return { device, deviceIdle: (last.ts + last.dur - first.ts) / 1000 - device };
}

const total = (events: readonly ProfileEvent[]): number => events.reduce((sum, { dur }) => sum + dur, 0) / 1000;
