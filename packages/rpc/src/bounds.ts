/** Bounds stated in the contracts' comments, for both sides of a call. */

/** Characters of a trainer's id: it is part of a subject on NATS, where some characters take three bytes. */
export const MAX_TRAINER_ID_CHARACTERS = 128;

/** Characters of each other text that a trainer introduces itself with. */
export const MAX_TRAINER_TEXT_CHARACTERS = 256;
/** Characters of a trainer's message about a failed task; the rest is cut. */
export const MAX_FAILURE_CHARACTERS = 2_000;
/** Sources of a data set. */
export const MAX_SOURCES = 4_096;
/** Characters of a run's name. */
export const MAX_RUN_NAME_CHARACTERS = 128;
/** Tags of a run, and characters of each. */
export const MAX_TAGS = 20;
export const MAX_TAG_CHARACTERS = 64;
