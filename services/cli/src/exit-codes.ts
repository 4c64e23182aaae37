/** Exit codes of every command. */
export const EXIT_OK = 0;
/** The command failed. */
export const EXIT_FAILED = 1;
/** The command line is invalid. */
export const EXIT_USAGE = 2;
/** Ended by Ctrl-C or SIGTERM. */
export const EXIT_INTERRUPTED = 130;

export const EXIT_CODES_HELP = `Exit codes: ${EXIT_OK} done, ${EXIT_FAILED} failed, ${EXIT_USAGE} wrong usage, ${EXIT_INTERRUPTED} interrupted.`;
