/** Bounds of what the hub may cost. */

/** Files of one download transferred at once. */
export const FILES_AT_ONCE = 4;

/** Attempts without progress before a request is given up. */
export const ATTEMPTS = 5;
/** An attempt that brought this much counts as progress: the next failure is a first one again. */
export const PROGRESS_BYTES = 64 * 1024;
export const LONGEST_BACKOFF_MS = 30_000;
/** The longest pause that a hub may ask for. */
export const LONGEST_RETRY_AFTER_MS = 300_000;

/** Below this speed, over a whole stall window, a connection counts as dead. */
export const SLOWEST_BYTES_PER_SECOND = 1024;

export const REDIRECTS = 5;
/** Error and redirect bodies are read up to this size, to keep the connection. */
export const DRAINED_BYTES = 64 * 1024;
/** One page of a listing holds about 1,000 files. */
export const PAGE_BYTES = 16 * 1024 * 1024;
export const LISTED_FILES = 100_000;
export const CARD_BYTES = 8 * 1024 * 1024;
export const INDEX_BYTES = 32 * 1024 * 1024;
export const PATH_CHARACTERS = 1024;

/** How often another process's download is checked. */
export const WATCH_MS = 250;
/** How often a download sets its partial file's time. */
export const HEARTBEAT_MS = 10_000;
/** A partial file older than this has no active writer. */
export const STALE_MS = 60_000;
export const PATTERN_CHARACTERS = 1024;
/** Patterns of one split. */
export const PATTERNS = 1000;
/** Most aliases in a card's YAML: each can multiply the ones before. */
export const YAML_ALIASES = 100;
