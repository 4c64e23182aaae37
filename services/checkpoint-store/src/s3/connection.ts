import { readFile } from "node:fs/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { GradpoolError } from "@gradpool/errors";
import { Bucket, type Sdk } from "./bucket.js";

const CONNECT_TIMEOUT_MS = 5_000;
/** Of a request: the longest sends or gets one part of an object. */
const REQUEST_TIMEOUT_MS = 120_000;

/** The client library's own number. */
const MAX_SOCKETS = 50;

/** Where the object store is; credentials come from AWS's usual sources. */
export interface S3Settings {
  /** URL; undefined: AWS itself. */
  endpoint: string | undefined;
  region: string;
  /** PEM file of the authorities to trust instead of the system's. */
  caBundle?: string | undefined;
}

/** The client of an object store, made when it is first needed. */
export class S3Connection {
  readonly #settings: S3Settings;
  #made: Promise<{ sdk: Sdk; client: S3Client }> | undefined;

  constructor(settings: S3Settings) {
    this.#settings = settings;
  }

  async bucket(name: string): Promise<Bucket> {
    const { sdk, client } = await (this.#made ??= this.#make());
    return new Bucket(sdk, client, name);
  }

  async #make(): Promise<{ sdk: Sdk; client: S3Client }> {
    const sdk = (await import("@aws-sdk/client-s3")).default;
    const { endpoint, region, caBundle } = this.#settings;
    const ca = caBundle && (await readBundle(caBundle));
    const client = new sdk.S3Client({
      region,
      // Stores other than AWS rarely have a host name for each bucket.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      // Each file is checked against its SHA-256, which is stronger.
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        throwOnRequestTimeout: true,
        ...(ca && { httpsAgent: { ca, keepAlive: true, maxSockets: MAX_SOCKETS } }),
      },
    });
    return { sdk, client };
  }

  async close(): Promise<void> {
    const made = await this.#made?.catch(() => undefined);
    made?.client.destroy();
  }
}

async function readBundle(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GradpoolError("failed_precondition", `AWS_CA_BUNDLE cannot be read: ${reason}`, { cause });
  }
}
