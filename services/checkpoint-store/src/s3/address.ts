import { GradpoolError } from "@gradpool/errors";
import { OBJECT_STORE_SCHEME } from "@gradpool/service-kit";

/** An output folder in an object store. */
export interface S3Address {
  /** "s3://bucket/prefix", in its one spelling. */
  url: string;
  bucket: string;
  /** Prefix of its objects' keys: "prefix/", or empty. */
  prefix: string;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** Keys have at most 1,024 bytes, and the names of checkpoint and file follow the prefix. */
const MAX_PREFIX_BYTES = 600;

export function isS3Url(outputDir: string): boolean {
  return outputDir.startsWith(OBJECT_STORE_SCHEME);
}

/** Errors: `invalid_argument`. */
export function checkS3Address(outputDir: string): S3Address {
  const [bucket = "", ...segments] = outputDir.slice(OBJECT_STORE_SCHEME.length).replace(/\/+$/, "").split("/");
  const plain = segments.every((segment) => segment !== "" && !/^\.\.?$|[\p{Cc}\\?#]/u.test(segment));
  const prefix = segments.map((segment) => `${segment}/`).join("");
  if (!isS3Url(outputDir) || !BUCKET.test(bucket) || !plain || Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) {
    const problem = `output_dir ${JSON.stringify(outputDir.slice(0, MAX_PREFIX_BYTES))} is not an address in an object store`;
    throw new GradpoolError("invalid_argument", `${problem}; write it as s3://bucket/folder`);
  }
  return { url: [`${OBJECT_STORE_SCHEME}${bucket}`, ...segments].join("/"), bucket, prefix };
}
