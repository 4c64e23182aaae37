/** What gradpool doctor checks, one function for each line of its output. */
import { once } from "node:events";
import { statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { availableParallelism, freemem, release } from "node:os";
import { dirname } from "node:path";
import { findCertificates, type AccessSources } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { bytes, counted } from "@gradpool/format";
import { fetchThrough, proxyLabel, type HubSettings } from "@gradpool/hub";
import {
  listCudaDevices,
  listWebGpuAdapters,
  onnxRuntimeVersion,
  processorMemory,
  requireCudaDevice,
} from "@gradpool/runtime";
import { Pool } from "../runs/pool.js";

export interface Check {
  /** A "problem" prevents training on the CPU; a "note" is worth knowing. */
  state: "ok" | "note" | "problem";
  /** One line: what is there, or what is wrong and what to do. */
  text: string;
}

const ok = (text: string): Check => ({ state: "ok", text });
const note = (text: string): Check => ({ state: "note", text });
const problem = (text: string): Check => ({ state: "problem", text });

/** As "engines" in package.json. */
const OLDEST_NODE = [20, 19] as const;

export function nodeCheck(version: string): Check {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isNewEnough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return isNewEnough ? ok(version) : problem(`${version} is too old; install Node ${OLDEST_NODE.join(".")} or newer`);
}

export const platformCheck = (): Check => ok(`${process.platform} ${release()} on ${process.arch}`);

export const coresCheck = (): Check => ok(String(availableParallelism()));

/** GPT-2 small and the services need more. */
const SHORT_MEMORY_BYTES = 3e9;

export function memoryCheck(): Check {
  const total = processorMemory();
  const text = `${bytes(total)}, ${bytes(Math.min(total, freemem()))} free`;
  return total < SHORT_MEMORY_BYTES ? note(`${text}; enough only for tiny models`) : ok(text);
}

/** A run needs this much for its database, logs and a small adapter's checkpoints. */
const LEAST_DISK_BYTES = 100e6;

/** Space where runs and logs are kept. The folder need not exist yet. */
export function diskCheck(home: string): Promise<Check> {
  return spaceCheck(home, LEAST_DISK_BYTES, problem, "GRADPOOL_HOME");
}

/** GPT-2 small has half a gigabyte. */
const SHORT_CACHE_BYTES = 1e9;

/** Space where models and data sets of the hub are kept; training on local files needs none. */
export function cacheCheck(cacheDir: string): Promise<Check> {
  return spaceCheck(cacheDir, SHORT_CACHE_BYTES, note, "HF_HOME");
}

async function spaceCheck(
  home: string,
  leastBytes: number,
  short: (text: string) => Check,
  variable: string,
): Promise<Check> {
  for (let folder = home; ; folder = dirname(folder)) {
    try {
      const { bavail, bsize } = await statfs(folder);
      const free = bavail * bsize;
      const text = `${bytes(free)} free at ${home}`;
      return free < leastBytes
        ? short(`${text}; free some space, or set ${variable} to a folder on another disk`)
        : ok(text);
    } catch (error) {
      if (folder !== dirname(folder)) continue;
      return short(`${home} cannot be accessed (${String(error)}); set ${variable} to another folder`);
    }
  }
}

export function onnxRuntimeCheck(): Check {
  try {
    return ok(onnxRuntimeVersion());
  } catch (reason) {
    return problem(GradpoolError.from(reason).message);
  }
}

/** Tries the first device; the others are counted. */
export async function cudaCheck(env: NodeJS.ProcessEnv): Promise<Check> {
  try {
    const { name, memoryBytes, driverVersion, cublasVersion } = await requireCudaDevice(0, env);
    const { length } = await listCudaDevices(env);
    const memory = memoryBytes > 0 ? `, ${bytes(memoryBytes)}` : "";
    const versions = `driver ${driverVersion || "unknown"}, CUDA ${cublasVersion || "unknown"}`;
    return ok(`works: ${counted(length, "device")}, cuda:0 is ${name}${memory} (${versions})`);
  } catch (reason) {
    return note(GradpoolError.from(reason).message);
  }
}

/** Tries each adapter. */
export async function webGpuCheck(env: NodeJS.ProcessEnv): Promise<Check> {
  try {
    const adapters = await listWebGpuAdapters(env);
    const described = adapters.map((adapter) => {
      const { index, name, backend, driver, isSoftware, memoryBytes, largestBuffer, float16 } = adapter;
      const facts = [
        `${backend}, driver ${driver || "unknown"}`,
        `buffers up to ${largestBuffer > 0 ? bytes(largestBuffer) : "an unknown size"}`,
        float16 ? "float16" : "no float16",
        ...(isSoftware ? ["computed by the processor: used only if named"] : []),
      ];
      const memory = memoryBytes > 0 ? bytes(memoryBytes) : "memory unknown";
      return `webgpu:${index} is ${name}, ${memory} (${facts.join("; ")})`;
    });
    return ok(`works: ${described.join(", ")}`);
  } catch (reason) {
    return note(GradpoolError.from(reason).message);
  }
}

/** Those that gradpool up takes; gradpool train takes any. */
export async function portsCheck(first: number): Promise<Check> {
  const ports = [0, 1, 2, 3].map((i) => first + i);
  const areFree = await Promise.all(ports.map(isFree));
  const taken = ports.filter((_, i) => !areFree[i]);
  const range = `${first} to ${first + 3}`;
  if (taken.length === 0) return ok(`${range} are free`);
  return note(
    `${taken.join(", ")} of ${range} in use, perhaps by a pool (see gradpool pool status); give gradpool up another --port`,
  );
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  return true;
}

/** Those that calls to the pool use; undefined: there are none. */
export function certificatesCheck(address: string, access: AccessSources): Check | undefined {
  try {
    using tls = findCertificates(access, address);
    if (!tls) return undefined;
    const notice = tls.expiryNotice();
    return notice ? note(notice) : ok(`${tls.files.cert}, until ${tls.expiresAt.toISOString().slice(0, 10)}`);
  } catch (reason) {
    return note(GradpoolError.from(reason).message);
  }
}

/** A working pool answers within this. */
const POOL_TIMEOUT_MS = 3_000;

/** Whether a coordinator answers where commands will look for one. */
export async function poolCheck(address: string, access: AccessSources, signal: AbortSignal): Promise<Check> {
  let route = address;
  try {
    using pool = new Pool(address, access, () => {});
    route = pool.route;
    const until = AbortSignal.any([signal, AbortSignal.timeout(POOL_TIMEOUT_MS)]);
    const { trainers, services } = await pool.status(until);
    const down = services.filter(({ serving }) => !serving).map(({ name }) => name);
    const text = `${route} answers, with ${counted(trainers.length, "trainer")}`;
    return down.length > 0 ? note(`${text}; not serving: ${down.join(", ")} (see gradpool pool status)`) : ok(text);
  } catch (reason) {
    signal.throwIfAborted();
    const { code, message } = GradpoolError.from(reason);
    if (code === "unauthenticated") return note(`${route} answers, but refuses this user: ${message}`);
    if (code === "failed_precondition") return note(message);
    return note(
      `none at ${route}; gradpool train works without one, other commands need gradpool up or --address HOST:PORT`,
    );
  }
}

const HUB_TIMEOUT_MS = 10_000;

/** Whether models and data sets can be fetched by name. */
export async function hubCheck({ endpoint, proxy }: HubSettings, signal: AbortSignal): Promise<Check> {
  const label = proxyLabel(proxy, endpoint);
  const through = label && ` through the proxy ${label}`;
  const until = AbortSignal.any([signal, AbortSignal.timeout(HUB_TIMEOUT_MS)]);
  try {
    const { status } = await fetchThrough(proxy)(`${endpoint}/api/models?limit=1`, { signal: until });
    if (status < 400) return ok(`${endpoint} answers${through}`);
    return note(`${endpoint} answers${through} with status ${status}; check HF_ENDPOINT and HF_TOKEN`);
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    return note(
      `${endpoint} does not answer${through} (${cause}); check HF_ENDPOINT and the network, or use local files`,
    );
  }
}
