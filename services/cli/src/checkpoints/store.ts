/** The checkpoint store as commands use it: a running one, or one started for the command. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findKey, hostAndPort, isLoopback, PoolKey, tlsEnvironment, type AccessSources } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { CheckpointStoreServiceService, type Client } from "@gradpool/rpc";
import type { CommandContext } from "../command-context.js";
import type { CliConfig } from "../config.js";
import { connect } from "../connect.js";
import { entryPoint } from "../local-stack/entry-points.js";
import { ServiceProcess } from "../local-stack/service-process.js";

export type StoreClient = Client<CheckpointStoreServiceService>;

export interface StoreFlags {
  /** "host:port" of a running store; without one, the command starts its own. */
  store?: string;
}

/** Does `work` with a store. Errors: its own; `unavailable`, saying which store does not answer. */
export async function withStore<T>(
  flags: StoreFlags,
  { output, config, interrupts }: CommandContext,
  work: (store: StoreClient, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal } = interrupts;
  if (flags.store) return call(flags.store, storeAccess(flags.store, config), "check --store", signal, work);
  const key = PoolKey.random().reveal();
  const folder = await mkdtemp(join(tmpdir(), "gradpool-checkpoint-store-"));
  // Stays when the service fails, for its log; the error names it.
  await using service = await ServiceProcess.start({
    name: "checkpoint-store",
    main: entryPoint("checkpoint-store"),
    env: {
      ...process.env,
      GRADPOOL_LISTEN: "127.0.0.1:0",
      GRADPOOL_KEY: key,
      GRADPOOL_KEY_FILE: undefined,
      ...tlsEnvironment(undefined, false),
    },
    logPath: join(folder, "checkpoint-store.log"),
    note: (text) => output.note(text),
    signal,
  });
  const release = interrupts.onForce(async () => service.kill());
  try {
    return await call(service.address, { key, home: config.home }, `its log was ${service.logPath}`, signal, work);
  } finally {
    release();
    if (service.isAlive) await rm(folder, { recursive: true, force: true });
  }
}

/** A store has its pool's key: on this machine, that of the pool that commands call. */
function storeAccess(store: string, { access, address }: CliConfig): AccessSources {
  const key = findKey(access, store) ?? (isLoopback(hostAndPort(store).host) ? findKey(access, address) : undefined);
  return key ? { ...access, keyFile: undefined, key: key.reveal() } : access;
}

async function call<T>(
  address: string,
  access: AccessSources,
  advice: string,
  signal: AbortSignal,
  work: (store: StoreClient, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using store = connect(CheckpointStoreServiceService, address, access);
  try {
    return await work(store, signal);
  } catch (reason) {
    signal.throwIfAborted();
    const error = GradpoolError.from(reason);
    // The store's own error about an object store that does not answer.
    if (error.code !== "unavailable" || error.message.startsWith("output_dir ")) throw reason;
    throw new GradpoolError("unavailable", `no checkpoint store answers at ${address}; ${advice}`, { cause: reason });
  }
}
