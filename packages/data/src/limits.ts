/** Largest row in bytes: a line of a structured or text file, or a whole source file. */
export const MAX_ROW_BYTES = 64 * 1024 * 1024;

/** Bytes read from a file at a time. */
export const READ_BYTES = 256 * 1024;

/** Text of a shuffle block that stays in memory, in bytes; rows beyond it wait in a temporary file. */
export const SHUFFLE_TEXT_BYTES = 64 * 1024 * 1024;

/** Texts that go to the encoder together: at most this many bytes of their files, and this many rows. */
export const ENCODE_BATCH_BYTES = 128 * 1024;
export const ENCODE_BATCH_ROWS = 1024;

/** What is being encoded at any time: text in bytes of its files (a single larger row goes alone), and batches. */
export const ENCODE_AHEAD_BYTES = 1024 * 1024;
export const ENCODE_AHEAD_BATCHES = 16;

/** Rows that are packed together: this many, as TRL 1.16 does, or once they have this many tokens. */
export const PACKED_ROWS = 1_000;
export const MAX_PACKED_TOKENS = 1 << 23;

/** Rows checked before training: of one file, of all files, and for how long. */
export const MAX_CHECKED_FILE_ROWS = 200;
export const MAX_CHECKED_ROWS = 2_000;
export const MAX_CHECK_MS = 5_000;

/** Nesting of arrays and objects in a JSON row; what is read is three deep at most. */
export const MAX_JSON_DEPTH = 128;

/** Fields of a CSV row. */
export const MAX_CSV_FIELDS = 16_384;

/** Messages of one chat. */
export const MAX_CHAT_MESSAGES = 1 << 16;

/** Most bytes that one compressed file may hold. */
export const MAX_DECOMPRESSED_BYTES = 2 ** 40;

/** Decompressed bytes per compressed byte, once a file has given RATIO_FREE_BYTES: text compresses 3 to 20 times. */
export const MAX_COMPRESSION_RATIO = 200;
export const RATIO_FREE_BYTES = 64 * 1024 * 1024;

/** Memory that a zstd frame may ask for: what `zstd --long=27` uses, and `zstd -d` allows by default. */
export const MAX_ZSTD_WINDOW_BYTES = 128 * 1024 * 1024;

/** Footer of a parquet file. */
export const MAX_PARQUET_METADATA_BYTES = 64 * 1024 * 1024;

/** A page of a parquet file, decompressed, and the values in it. */
export const MAX_PARQUET_PAGE_BYTES = 256 * 1024 * 1024;
export const MAX_PARQUET_PAGE_VALUES = 1 << 24;

/** The wanted columns of a row group, which are in memory together, compressed and decompressed. */
export const MAX_PARQUET_GROUP_BYTES = 2 ** 30;
export const MAX_PARQUET_GROUP_ROWS = 1 << 24;

/** A chat template in UTF-16 code units; the longest in use have about 20,000. */
export const MAX_CHAT_TEMPLATE_LENGTH = 1 << 18;

/** Steps that a chat template takes to render one chat, a few million a second. */
export const MAX_TEMPLATE_STEPS = 20_000_000;

/** A chat as a text, in UTF-16 code units. */
export const MAX_CHAT_TEXT_LENGTH = 1 << 24;

/** All texts that a chat template makes on the way to a chat's text. */
export const MAX_CHAT_TEXTS_LENGTH = 1 << 28;
