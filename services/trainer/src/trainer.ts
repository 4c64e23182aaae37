import { readFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { checkDial } from "@gradpool/access";
import { TrainerGatewayServiceService, type TrainerHello } from "@gradpool/rpc";
import { serve, type Access, type Logger, type Service } from "@gradpool/service-kit";
import { ComputeThread } from "./compute.js";
import type { TrainerConfig } from "./config.js";
import { converse } from "./conversation.js";
import { Coordinators } from "./coordinators.js";
import { chooseDevice, type Device } from "./device.js";
import { DeviceQueue } from "./device-queue.js";
import { TrainerMetrics } from "./metrics.js";

/**
 * Starts a trainer: it dials the coordinators, so that it works from a private network, and computes micro-batches.
 * Stateless: what it keeps can be fetched again. It serves only health checks. Coordinators may start later.
 * When it stops, it returns the waiting micro-batch, finishes the current one if that ends in time, pushes
 * its result, and says goodbye. `onCrash` is called when the compute thread dies; `computeModule` is what that thread
 * runs in tests. Errors: those of serve; `failed_precondition` when the requested device is not available.
 */
export function startTrainer(
  config: TrainerConfig,
  log: Logger,
  access: Access,
  onCrash: () => void,
  computeModule?: URL,
): Promise<Service> {
  return serve({ listen: config.listen, log, access }, async ({ metrics: registry, stopping, own, connect }) => {
    let connected = 0;
    const metrics = new TrainerMetrics(registry, () => connected);
    const { gpu, ...device } = await chooseDevice(config, log);
    const compute = own(
      await ComputeThread.create({
        threads: config.threads,
        gpu,
        models: { ...config.models, roots: access.roots },
        log,
        onLoaded: (seconds) => metrics.baseLoaded(seconds),
        onCrash,
        module: computeModule,
      }),
    );
    const hello = await describe(config, device, compute.onnxRuntimeVersion);
    const { deviceClass, threads, version, trainerId } = hello;
    log.info({ device: hello.device, deviceClass, threads, version, trainerId }, "computing on this device");
    const { coordinatorAddresses: addresses, finishMs } = config;
    for (const address of addresses) checkDial(address, access);
    const shared = { ...{ log, compute, metrics, finishMs }, device: new DeviceQueue() };
    const coordinators = new Coordinators({
      ...{ addresses, log, stopping },
      onChange: (count) => (connected = count),
      converse: ({ address, coordinatorIds, ...talk }) =>
        converse(() => connect(TrainerGatewayServiceService, address), {
          ...{ ...shared, ...talk, hello: { ...hello, coordinatorIds } },
        }),
    });
    let conversations: Promise<void> | undefined;
    return {
      services: [],
      started() {
        conversations = coordinators.follow();
      },
      problem: async () => (connected > 0 ? "" : "not connected to a coordinator"),
      drain: async () => conversations,
    };
  });
}

/** Nobody else can guess it: it is what proves that a new connection is this process's. */
const INSTANCE_BYTES = 18;

async function describe(config: TrainerConfig, device: Device, onnxRuntimeVersion: string): Promise<TrainerHello> {
  return {
    trainerId: config.trainerId,
    ...device,
    host: hostname(),
    pid: process.pid,
    threads: config.threads,
    version: `gradpool ${await gradpoolVersion()}, onnxruntime ${onnxRuntimeVersion}`,
    instance: randomBytes(INSTANCE_BYTES).toString("base64url"),
    coordinatorIds: [],
  };
}

async function gradpoolVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  return (manifest as { version: string }).version;
}
