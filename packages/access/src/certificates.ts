/** Certificate files as TLS uses them, on both sides of a connection; renewed files are taken without a restart. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { GradpoolError } from "@gradpool/errors";
import type { TlsFiles } from "./tls-files.js";

/** What the files hold. */
export interface TlsMaterial {
  ca: Buffer;
  cert: Buffer;
  key: Buffer;
}

/** How often the files are looked at. */
const RENEWAL_MS = 10_000;

/** Certificates are to be renewed this long before they expire. */
const NOTICE_MS = 30 * 86_400_000;

export class Certificates implements Disposable {
  readonly files: TlsFiles;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  readonly #timer: NodeJS.Timeout;
  #material: TlsMaterial;

  /**
   * `onProblem` is called when renewed files cannot be used; the earlier ones stay in use. Errors:
   * `failed_precondition`, naming the file.
   */
  constructor(files: TlsFiles, onProblem: (problem: string) => void = () => {}, renewalMs = RENEWAL_MS) {
    this.files = files;
    this.#material = readMaterial(files);
    let lastProblem = "";
    this.#timer = setInterval(() => {
      const problem = this.#renew();
      if (problem && problem !== lastProblem) onProblem(problem);
      lastProblem = problem;
    }, renewalMs);
    this.#timer.unref();
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** When the first of its certificate and the authority's expires. */
  get expiresAt(): Date {
    return new Date(Math.min(...[this.#material.cert, this.#material.ca].map(expiryOf)));
  }

  /** What to tell somebody who can renew them before they expire; empty: there is time. */
  expiryNotice(nowMs = Date.now()): string {
    const { cert, ca } = this.files;
    for (const [file, pem] of [[cert, this.#material.cert] as const, [ca, this.#material.ca] as const]) {
      const leftMs = expiryOf(pem) - nowMs;
      if (leftMs > NOTICE_MS) continue;
      const day = new Date(expiryOf(pem)).toISOString().slice(0, 10);
      const how = file === ca ? "make a new authority" : "renew it";
      return `the certificate ${file} expires on ${day}; ${how} with gradpool certs init, or as it was made`;
    }
    return "";
  }

  /** Calls `listener` with each renewal, until it is taken off. */
  onRenewal(listener: (material: TlsMaterial) => void): void {
    this.#listeners.add(listener);
  }

  offRenewal(listener: (material: TlsMaterial) => void): void {
    this.#listeners.delete(listener);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Gives the problem; empty: there is none. */
  #renew(): string {
    try {
      const found = readMaterial(this.files);
      const parts = ["ca", "cert", "key"] as const;
      if (parts.every((part) => found[part].equals(this.#material[part]))) return "";
      this.#material = found;
      for (const listener of this.#listeners) listener(found);
      return "";
    } catch (reason) {
      return GradpoolError.from(reason).message;
    }
  }
}

/** Errors: `failed_precondition` for files that cannot be read, do not belong together, or have expired. */
function readMaterial(files: TlsFiles): TlsMaterial {
  const material = { ca: read(files.ca), cert: read(files.cert), key: read(files.key) };
  parsed(files.ca, () => new X509Certificate(material.ca));
  const certificate = parsed(files.cert, () => new X509Certificate(material.cert));
  const key = parsed(files.key, () => createPrivateKey(material.key));
  if (!certificate.checkPrivateKey(key)) throw unusable(files.key, `it does not belong to ${files.cert}`);
  if (Date.parse(certificate.validTo) < Date.now()) throw unusable(files.cert, `it expired on ${certificate.validTo}`);
  return material;
}

const expiryOf = (pem: Buffer): number => Date.parse(new X509Certificate(pem).validTo);

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw unusable(file, String((cause as NodeJS.ErrnoException).code), cause);
  }
}

function parsed<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw unusable(file, "it is not PEM", cause);
  }
}

const unusable = (file: string, why: string, cause?: unknown) =>
  new GradpoolError(
    "failed_precondition",
    `${file} cannot be used (${why}); make certificates with gradpool certs init`,
    { cause },
  );
