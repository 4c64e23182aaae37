/**
 * Which folders, and which places of an object store, the runs of a pool may name. A pool that others can call would
 * otherwise read and write for them whatever its own user can.
 */
import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { hostAndPort, isLoopback } from "./addresses.js";
import { gradpoolHome } from "./home-folder.js";

/** Absolute folders, and prefixes such as "s3://bucket/results"; undefined: anything. Plain data. */
export type Roots = readonly string[] | undefined;

const VARIABLE = "GRADPOOL_ROOTS";
const OBJECTS = "s3://";

/** `isChosen`: the environment names them. */
export interface FoundRoots {
  roots: Roots;
  isChosen: boolean;
}

/**
 * Those of $GRADPOOL_ROOTS, with commas between them. Where it is not set, a service on loopback has one caller, the
 * pool's own user, and no limits; one that other machines can reach has $GRADPOOL_HOME/shared. Errors: `invalid_argument`.
 */
export function rootsOf(env: NodeJS.ProcessEnv, listen = env["GRADPOOL_LISTEN"]): FoundRoots {
  const named = (env[VARIABLE] ?? "").split(",").flatMap((root) => root.trim() || []);
  const wrong = named.find((root) => !isAbsolute(root) && !root.startsWith(OBJECTS));
  if (wrong !== undefined) {
    const advice = "give absolute folders and s3:// prefixes with commas between them";
    throw new GradpoolError("invalid_argument", `${VARIABLE}: ${JSON.stringify(wrong)} is neither; ${advice}`);
  }
  if (named.length > 0) return { roots: named, isChosen: true };
  const isReachable = listen !== undefined && !isLoopback(hostAndPort(listen).host);
  return { roots: isReachable ? [join(gradpoolHome(env), "shared")] : undefined, isChosen: false };
}

/** The same as an environment, for a child process. */
export const rootsEnvironment = (roots: Roots): NodeJS.ProcessEnv => ({ [VARIABLE]: roots?.join(",") });

/**
 * `what` is what names the place, such as output_dir. Links are followed first, those of the parts that exist. Errors:
 * `permission_denied` for a place outside all roots.
 */
export async function checkInRoots(place: string, roots: Roots, what: string): Promise<void> {
  if (roots === undefined) return;
  const isObject = place.startsWith(OBJECTS);
  const real = isObject ? place : await realPlace(resolve(place));
  for (const root of roots) {
    if (root.startsWith(OBJECTS) !== isObject) continue;
    if (isBelow(real, isObject ? root : await realPlace(resolve(root)))) return;
  }
  const link = isObject || real === resolve(place) ? "" : `, which is ${real},`;
  const problem = `${what} ${place}${link} is outside of what runs of this pool may use (${roots.join(", ")})`;
  throw new GradpoolError("permission_denied", `${problem}; choose a place there, or have it added to ${VARIABLE}`);
}

function isBelow(place: string, root: string): boolean {
  const prefix = root.endsWith("/") ? root : `${root}/`;
  return place === root || (place.startsWith(prefix) && !/(^|\/)\.\.?(\/|$)/.test(place.slice(prefix.length)));
}

/** Without links, as far as the path exists; a link to nothing leads nowhere. */
async function realPlace(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const isThere = (await lstat(path).catch(() => undefined)) !== undefined;
    if (isThere || dirname(path) === path) {
      const { code = "" } = error as NodeJS.ErrnoException;
      throw new GradpoolError("permission_denied", `${path} cannot be followed (${code}); check its permissions`, {
        cause: error,
      });
    }
    return join(await realPlace(dirname(path)), basename(path));
  }
}
