/** The file of profiles, config.yaml in $GRADPOOL_HOME: what it may hold, and the errors for the rest. */
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { z } from "zod";
import { isAddress } from "../flags.js";
import { OUTPUT_FORMATS } from "../terminal/output.js";
import { readYaml } from "./yaml-file.js";

const address = z.string().refine(isAddress, "must be HOST:PORT, such as 127.0.0.1:7070");

const profileSchema = z.strictObject({
  /** Coordinator of a running pool. */
  address: address.optional(),
  /** Checkpoint store that runs already. */
  checkpoint_store: address.optional(),
  /** File with the key of that pool; relative to $GRADPOOL_HOME. */
  key_file: z.string().min(1).optional(),
  /** Certificates for it; relative to the same. */
  tls_ca: z.string().min(1).optional(),
  tls_cert: z.string().min(1).optional(),
  tls_key: z.string().min(1).optional(),
  /** Its connections may be plain text. */
  insecure: z.boolean().optional(),
  output: z.enum(OUTPUT_FORMATS).optional(),
  /** Of train and run submit, under the names of their flags. */
  defaults: z.record(z.string(), z.unknown()).optional(),
});
export type Profile = z.infer<typeof profileSchema>;

const schema = z.strictObject({
  /** The default profile. */
  profile: z.string().optional(),
  profiles: z.record(z.string(), profileSchema).default({}),
});

export interface ChosenProfile {
  name: string;
  profile: Profile;
}

export const configFile = (home: string): string => join(home, "config.yaml");

/** Undefined when there is no such file. Errors: `failed_precondition` when it cannot be used. */
export async function readConfigFile(home: string): Promise<z.infer<typeof schema> | undefined> {
  const path = configFile(home);
  const found = await readYaml(path);
  if (found === undefined) return undefined;
  const result = schema.safeParse(found ?? {});
  if (!result.data) throw new GradpoolError("failed_precondition", `${path}: ${issueText(result.error)}`);
  return result.data;
}

/**
 * The profile of that name, or the one that the file names; undefined when nothing names one.
 * Errors: those of readConfigFile; `not_found` for a profile that is not in it.
 */
export async function readProfile(home: string, named: string | undefined): Promise<ChosenProfile | undefined> {
  const path = configFile(home);
  const file = await readConfigFile(home);
  if (!file) {
    if (!named) return undefined;
    throw new GradpoolError("not_found", `there is no profile ${named}: ${path} does not exist; write one there`);
  }
  const name = named || file.profile;
  if (!name) return undefined;
  const profile = file.profiles[name];
  if (profile) return { name, profile };
  const known = Object.keys(file.profiles).join(", ");
  throw new GradpoolError(
    "not_found",
    `there is no profile ${name} in ${path}; ${known ? `it has ${known}` : "add it"}`,
  );
}

/** "profiles.team.adress is unknown; …" or "profiles.team.address must be …". */
function issueText(error: z.ZodError): string {
  const [issue] = error.issues;
  if (!issue) return "cannot be used";
  const at = (path: PropertyKey[]) => path.map(String).join(".") || "the file";
  if (issue.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    const known = issue.path.length === 0 ? Object.keys(schema.shape) : Object.keys(profileSchema.shape);
    return `${at([...issue.path, key])} is unknown; known: ${known.join(", ")}`;
  }
  return `${at(issue.path)} ${issue.message.replace(/^Invalid/, "is wrong: invalid")}; fix it`;
}
