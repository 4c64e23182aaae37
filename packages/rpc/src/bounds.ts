/** Bounds stated in the contracts' comments, for both sides of a call. */

/** Characters of a trainer's id: it is part of a subject on NATS, where some characters take three bytes. */
export const MAX_TRAINER_ID_CHARACTERS = 128;
