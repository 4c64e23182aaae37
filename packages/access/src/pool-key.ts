import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";

/** 256 bits. */
const RANDOM_BYTES = 32;
/** What fits into a header as it is. A key of fewer characters could be guessed. */
const FORM = /^[\x21-\x7e]{16,512}$/;

/**
 * A pool's key: whoever has it may do whatever the pool's own user may. Its text is in no property, so that no log
 * and no JSON shows it.
 */
export class PoolKey {
  readonly #text: string;
  readonly #digest: Buffer;

  /** `origin`: where the text is from, for the error. Errors: `invalid_argument`. */
  constructor(text: string, origin: string) {
    if (!FORM.test(text)) {
      const form = "a key is 16 to 512 characters of ASCII, without spaces";
      throw new GradpoolError("invalid_argument", `${origin}: ${form}; make one with: openssl rand -base64 32`);
    }
    this.#text = text;
    this.#digest = digestOf(text);
  }

  static random(): PoolKey {
    return new PoolKey(randomBytes(RANDOM_BYTES).toString("base64url"), "a new key");
  }

  /** The key itself: for its file, a request's header, and the link that a person opens. */
  reveal(): string {
    return this.#text;
  }

  /** Takes the same time whatever `text` is: digests are compared, which have one length. */
  matches(text: string): boolean {
    return timingSafeEqual(digestOf(text), this.#digest);
  }

  /** A secret for another use that shows nothing of the key itself. */
  derive(purpose: string): PoolKey {
    return new PoolKey(createHmac("sha256", this.#text).update(purpose).digest("base64url"), purpose);
  }
}

const digestOf = (text: string) => createHash("sha256").update(text).digest();

const SCHEME = /^bearer +(\S+) *$/i;

/** The value of an Authorization header, see RFC 6750. */
export const authorizationOf = (key: PoolKey): string => `Bearer ${key.reveal()}`;

/** Why a call with this Authorization header is refused; empty: it carries the key. */
export function refusalOf(authorization: string | undefined, key: PoolKey): string {
  const [, text] = SCHEME.exec(authorization ?? "") ?? [];
  if (text === undefined) return `this pool asks for its key, and the call carries none; ${KEY_ADVICE}`;
  return key.matches(text) ? "" : `the key is not this pool's; ${KEY_ADVICE}`;
}

const KEY_ADVICE =
  "set GRADPOOL_KEY to it, or name its file with --key_file (on the pool's machine: $GRADPOOL_HOME/pools/PORT/key)";
