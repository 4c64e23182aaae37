/** The command line is invalid: exit code 2. The message is one line: what is wrong, and what to do. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}
