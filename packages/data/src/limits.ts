/** Largest row in bytes: a line of a structured or text file, or a whole source file. */
export const MAX_ROW_BYTES = 64 * 1024 * 1024;

/** Bytes read from a file at a time. */
export const READ_BYTES = 256 * 1024;

/** Largest shuffle_buffer: each of its rows costs about 100 bytes besides its text. */
export const MAX_SHUFFLE_ROWS = 1 << 20;

/** Text of a shuffle block that stays in memory, in bytes of its file; rows beyond it are read again when their turn comes. */
export const SHUFFLE_TEXT_BYTES = 64 * 1024 * 1024;

/** Texts that go to the encoder together: so many bytes of their files, or so many rows. */
export const ENCODE_BATCH_BYTES = 128 * 1024;
export const ENCODE_BATCH_ROWS = 1024;

/** What is being encoded at any time: text in bytes of its files (a single larger row goes alone), and batches. */
export const ENCODE_AHEAD_BYTES = 1024 * 1024;
export const ENCODE_AHEAD_BATCHES = 16;

/** Largest micro-batch, counted as rows × (row length + 1): its message must fit into gRPC's 4 MiB. */
export const MAX_MICRO_BATCH_TOKENS = 1_000_000;
