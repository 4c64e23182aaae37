/** The requests to an object store, in the store's own terms. Failures are the client library's: see errors.ts. */
import type { Readable } from "node:stream";
import type * as aws from "@aws-sdk/client-s3";
import { GradpoolError } from "@gradpool/errors";
import { isNoSuchKey } from "./errors.js";

/** The client's module is 22 MB of files: loaded with the first address in an object store. */
export type Sdk = typeof aws.default;

export interface StoredObject {
  key: string;
  sizeBytes: number;
}

/** Makes a write conditional on what is there: nothing, or the object with this ETag. */
export interface Condition {
  IfNoneMatch?: "*";
  IfMatch?: string;
}

export const NOTHING_THERE: Condition = { IfNoneMatch: "*" };

/** More objects under one prefix are not ours. */
const MAX_LISTED = 100_000;

/** A part with the checksums that the store's answer has: some have none. */
export type UploadedPart = aws.CompletedPart;

export class Bucket {
  readonly #sdk: Sdk;
  readonly #client: aws.S3Client;
  readonly #name: { Bucket: string };

  constructor(sdk: Sdk, client: aws.S3Client, name: string) {
    this.#sdk = sdk;
    this.#client = client;
    this.#name = { Bucket: name };
  }

  /** All objects whose key begins with `prefix`. */
  async objects(prefix: string): Promise<StoredObject[]> {
    return (await this.#list(prefix, undefined)).objects;
  }

  /** The part between `prefix` and the next slash of all keys that have both. */
  async folders(prefix: string): Promise<string[]> {
    return (await this.#list(prefix, "/")).folders;
  }

  async #list(prefix: string, delimiter: "/" | undefined): Promise<{ objects: StoredObject[]; folders: string[] }> {
    const objects: StoredObject[] = [];
    const folders: string[] = [];
    let token: string | undefined;
    do {
      const request = { Prefix: prefix, Delimiter: delimiter, ContinuationToken: token };
      const page = await this.#client.send(new this.#sdk.ListObjectsV2Command({ ...this.#name, ...request }));
      for (const { Key = "", Size = 0 } of page.Contents ?? []) objects.push({ key: Key, sizeBytes: Size });
      for (const { Prefix = "" } of page.CommonPrefixes ?? []) folders.push(Prefix.slice(prefix.length, -1));
      if (objects.length + folders.length > MAX_LISTED) {
        const problem = `more than ${MAX_LISTED} objects are under ${prefix || "the bucket's root"}`;
        throw new GradpoolError("resource_exhausted", `${problem}; choose an --output_dir that only gradpool uses`);
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return { objects, folders };
  }

  /** Undefined when there is no such object. */
  async head(key: string): Promise<{ sizeBytes: number; etag: string } | undefined> {
    try {
      const { ContentLength = 0, ETag = "" } = await this.#client.send(
        new this.#sdk.HeadObjectCommand({ ...this.#name, Key: key }),
      );
      return { sizeBytes: ContentLength, etag: ETag };
    } catch (error) {
      if (isNoSuchKey(error)) return undefined;
      throw error;
    }
  }

  /** At most `sizeBytes` bytes from `position` on, of the object with that ETag. */
  async read(key: string, etag: string, position: number, sizeBytes: number): Promise<Uint8Array> {
    const Range = `bytes=${position}-${position + sizeBytes - 1}`;
    const request = { ...this.#name, Key: key, IfMatch: etag, Range };
    const { Body } = await this.#client.send(new this.#sdk.GetObjectCommand(request));
    return (await Body?.transformToByteArray()) ?? new Uint8Array();
  }

  /** The bytes of an object of at most `maxBytes`; undefined when there is none. */
  async small(key: string, maxBytes: number): Promise<{ bytes: Uint8Array; etag: string } | "too large" | undefined> {
    try {
      const command = new this.#sdk.GetObjectCommand({ ...this.#name, Key: key });
      const { Body, ContentLength, ETag = "" } = await this.#client.send(command);
      // Without a length the response could have any size.
      if (ContentLength === undefined || ContentLength > maxBytes) {
        (Body as Readable | undefined)?.destroy();
        return "too large";
      }
      return { bytes: (await Body?.transformToByteArray()) ?? new Uint8Array(), etag: ETag };
    } catch (error) {
      if (isNoSuchKey(error)) return undefined;
      throw error;
    }
  }

  async put(key: string, bytes: Uint8Array, condition: Condition, signal?: AbortSignal): Promise<void> {
    const request = { ...this.#name, Key: key, Body: bytes, ...condition };
    await this.#client.send(new this.#sdk.PutObjectCommand(request), signal && { abortSignal: signal });
  }

  /** No error if it is already gone. */
  async delete(key: string, condition: Pick<Condition, "IfMatch"> = {}): Promise<void> {
    await this.#client.send(new this.#sdk.DeleteObjectCommand({ ...this.#name, Key: key, ...condition }));
  }

  /** Starts a multipart upload; returns its id. */
  async beginParts(key: string): Promise<string> {
    const request = { ...this.#name, Key: key, ChecksumAlgorithm: "CRC32" as const };
    const { UploadId } = await this.#client.send(new this.#sdk.CreateMultipartUploadCommand(request));
    if (!UploadId)
      throw new GradpoolError("failed_precondition", "the object store gave the upload no id; see its log");
    return UploadId;
  }

  /** `number`: from 1 on. */
  async putPart(
    key: string,
    uploadId: string,
    number: number,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<UploadedPart> {
    const request = { ...this.#name, Key: key, UploadId: uploadId, PartNumber: number, Body: bytes };
    const command = new this.#sdk.UploadPartCommand({ ...request, ChecksumAlgorithm: "CRC32" });
    const { ETag, ChecksumCRC32 } = await this.#client.send(command, { abortSignal: signal });
    return { PartNumber: number, ETag, ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }) };
  }

  /** The whole object appears at once. */
  async completeParts(key: string, uploadId: string, parts: UploadedPart[], condition: Condition): Promise<void> {
    const request = { ...this.#name, Key: key, UploadId: uploadId, MultipartUpload: { Parts: parts } };
    await this.#client.send(new this.#sdk.CompleteMultipartUploadCommand({ ...request, ...condition }));
  }

  async abortParts(key: string, uploadId: string): Promise<void> {
    const request = { ...this.#name, Key: key, UploadId: uploadId };
    await this.#client.send(new this.#sdk.AbortMultipartUploadCommand(request));
  }
}
