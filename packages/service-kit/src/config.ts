import { GradpoolError } from "@gradpool/errors";
import { z } from "zod";
import { parseListenAddress } from "./listen-address.js";

/** "host:port" to listen on; port 0 takes any free one. */
export const listenAddress = z
  .string()
  .refine((text) => parseListenAddress(text)?.port !== undefined, "must look like 127.0.0.1:7070 or [::]:7070")
  .default("127.0.0.1:0");

/** "host:port" of another service. */
export const serviceAddress = z.string().regex(/^[^\s,]+:\d{1,5}$/, "must look like 127.0.0.1:7070");

/** The same of one or several, with commas between them. */
export const serviceAddresses = z
  .string()
  .regex(/^[^\s,]+:\d{1,5}(,[^\s,]+:\d{1,5})*$/, "must look like 127.0.0.1:7070, or like a:7070,b:7070")
  .transform((text) => [...new Set(text.split(","))]);

/** Seconds that a service may take to stop cleanly; then it is ended as it is. */
export const stopGraceSeconds = z.coerce
  .number("must be a number of seconds")
  .min(1, "must be at least 1 second")
  .max(86_400, "must be at most 86400 seconds")
  .default(30);

/** Part of the grace period that is reserved for what follows the work: saying goodbye, saving, closing connections. */
const CLOSING_MS = 5_000;

/** How long a stopping service may continue its work, in milliseconds. */
export const finishMsOf = (graceSeconds: number): number => Math.max(0, 1000 * graceSeconds - CLOSING_MS);

/** What every service process reads besides its own variables. */
export const processVariables = z.object({
  /** "host:port" of its HTTP port, for metrics and probes; unset: it has none. */
  GRADPOOL_HTTP_LISTEN: serviceAddress.optional(),
  /** Names by which people reach its HTTP port, besides its addresses and localhost. */
  GRADPOOL_HTTP_HOSTS: z
    .string()
    .regex(/^[\w.-]+(,[\w.-]+)*$/, "must be names with commas between them, such as gradpool.example")
    .transform((names) => names.split(","))
    .optional(),
  GRADPOOL_STOP_GRACE_SECONDS: stopGraceSeconds,
  /** The pool's key, or the file that holds it; see readAccess. */
  GRADPOOL_KEY: z.string().optional(),
  GRADPOOL_KEY_FILE: z.string().optional(),
  /** PEM files: its certificate, the key of that, and the authority that signs those of the pool. */
  GRADPOOL_TLS_CERT: z.string().optional(),
  GRADPOOL_TLS_KEY: z.string().optional(),
  GRADPOOL_TLS_CA: z.string().optional(),
  /** Folders and s3:// prefixes that runs may name; see rootsOf. */
  GRADPOOL_ROOTS: z.string().optional(),
  /** Plain text may cross networks. */
  GRADPOOL_INSECURE: z.string().optional(),
});

/**
 * Reads the environment into a typed config. Each service calls this once, in its own config file;
 * nothing else reads the environment. Errors: `invalid_argument`, naming the variable.
 */
export function readConfig<S extends z.ZodObject>(schema: S, env: NodeJS.ProcessEnv): z.infer<S> {
  const result = schema.safeParse(env);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const variable = issue?.path.join(".") ?? "the environment";
  throw new GradpoolError("invalid_argument", `${variable}: ${issue?.message ?? "is invalid"}; set it and restart`);
}
