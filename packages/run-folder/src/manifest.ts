/** manifest.json of a checkpoint: its files, each with its SHA-256. I5: a checkpoint exists when its manifest does. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { jsonBytes, parsed, type FileProblem } from "./file-problem.js";
import { checkFileName, MANIFEST_FILE } from "./names.js";

/** Version of the checkpoint folder's format. */
const FORMAT_VERSION = 1;
/** More than any manifest of MAX_FILES files has. */
export const MAX_MANIFEST_BYTES = 4 << 20;
export const MAX_FILES = 1000;

const file = z.strictObject({
  path: z.string(),
  size_bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
const uint32 = z.int().nonnegative().max(0xffffffff);
const body = z.strictObject({
  format: z.literal("gradpool-checkpoint"),
  version: z.literal(FORMAT_VERSION),
  run_id: z.string(),
  epoch: uint32,
  step: uint32,
  /** Absent in a pool with one coordinator. */
  owner_epoch: uint32.positive().optional(),
  saved_at: z.iso.datetime(),
  files: z.array(file).max(MAX_FILES),
});
const schema = body.extend({ manifest_sha256: z.string() });

export interface ManifestFile {
  path: string;
  sizeBytes: number;
  /** In hexadecimal. */
  sha256: string;
}

/** What a checkpoint holds. */
export interface Manifest {
  runId: string;
  epoch: number;
  step: number;
  /** How often the run had changed hands between coordinators; 0: never. */
  ownerEpoch: number;
  savedAt: Date;
  files: ManifestFile[];
}

/** The bytes of manifest.json; its last field is the SHA-256 of all others, so that it protects itself too. */
export function manifestBytes(manifest: Manifest): Uint8Array {
  const fields = fieldsOf(manifest);
  return jsonBytes({ ...fields, manifest_sha256: digest(fields) });
}

/** Reads manifest.json, or says what is wrong with it. */
export function parseManifest(bytes: Uint8Array): Manifest | FileProblem {
  const fields = parsed(bytes, schema, MANIFEST_FILE);
  if (typeof fields === "string") return fields;
  const { run_id, epoch, step, owner_epoch = 0, saved_at, files, manifest_sha256 } = fields;
  const manifest = {
    runId: run_id,
    epoch,
    step,
    ownerEpoch: owner_epoch,
    savedAt: new Date(saved_at),
    files: files.map(({ path, size_bytes, sha256 }) => ({ path, sizeBytes: size_bytes, sha256 })),
  };
  if (digest(fieldsOf(manifest)) !== manifest_sha256) return `${MANIFEST_FILE} does not match its own SHA-256`;
  // Differences that JSON ignores (spaces, a key given twice) count as changes, too.
  if (Buffer.compare(bytes, manifestBytes(manifest)) !== 0) return `${MANIFEST_FILE} is not as it was written`;
  try {
    files.forEach(({ path }) => checkFileName(path));
  } catch {
    return `${MANIFEST_FILE} names a file outside of the checkpoint`;
  }
  if (new Set(files.map(({ path }) => path)).size < files.length) return `${MANIFEST_FILE} names a file twice`;
  return manifest;
}

/** What is wrong with the content of a file; empty: nothing. */
export function damageOf({ path, sizeBytes, sha256 }: ManifestFile, content: Uint8Array): string {
  if (content.byteLength !== sizeBytes) return `file ${path} has ${content.byteLength} bytes instead of ${sizeBytes}`;
  return hexDigest(content) === sha256 ? "" : `file ${path} does not match its SHA-256`;
}

/** The fields in the one order that the digest takes them. */
function fieldsOf({ runId, epoch, step, ownerEpoch, savedAt, files }: Manifest): z.infer<typeof body> {
  return {
    format: "gradpool-checkpoint",
    version: FORMAT_VERSION,
    run_id: runId,
    epoch,
    step,
    ...(ownerEpoch > 0 && { owner_epoch: ownerEpoch }),
    saved_at: savedAt.toISOString(),
    files: files.map(({ path, sizeBytes, sha256 }) => ({ path, size_bytes: sizeBytes, sha256 })),
  };
}

function digest(fields: z.infer<typeof body>): string {
  return hexDigest(JSON.stringify(fields));
}

const hexDigest = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");
