/** Examples for the help of commands that need no more words. */
export const EXAMPLES: Record<string, readonly string[]> = {
  "run list": ["gradpool run list", "gradpool run list --output yaml --profile team"],
  "run get": ["gradpool run get RUN_ID", "gradpool run get RUN_ID --json"],
  "run watch": ["gradpool run watch RUN_ID", "gradpool run watch RUN_ID --json"],
  "run logs": ["gradpool run logs RUN_ID", "gradpool run logs RUN_ID --follow"],
  "run trace": ["gradpool run trace RUN_ID", "gradpool run trace RUN_ID --json"],
  "run pause": ["gradpool run pause RUN_ID"],
  "run resume": ["gradpool run resume RUN_ID"],
  "run cancel": ["gradpool run cancel RUN_ID"],
  "trainer list": ["gradpool trainer list", "gradpool trainer list --output json"],
  "trainer drain": ["gradpool trainer drain TRAINER_ID"],
  "trainer undrain": ["gradpool trainer undrain TRAINER_ID"],
  "pool status": ["gradpool pool status", "gradpool pool status --address 10.0.0.5:7070 --output yaml"],
  doctor: ["gradpool doctor", "gradpool doctor --online --json"],
};
