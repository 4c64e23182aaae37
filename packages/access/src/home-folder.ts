import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The user's home folder; "/", as in Docker, of a user that the system does not know and for whom HOME is not set. */
export function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return "/";
  }
}

/** Folder of everything that gradpool keeps: $GRADPOOL_HOME, absolute. */
export const gradpoolHome = (env: NodeJS.ProcessEnv): string =>
  resolve(env["GRADPOOL_HOME"] || join(homeFolder(), ".gradpool"));
