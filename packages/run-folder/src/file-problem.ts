/** JSON files of the folder, and what is wrong with one in a line of bounded length. */
import type { z } from "zod";

/** Most characters shown of a problem. */
const MAX_SHOWN = 300;

/** What is wrong with a file: its name, and why it cannot be used. */
export type FileProblem = string;

export const jsonBytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);

/** The content of the JSON file `name`, or what is wrong with it. */
export function parsed<T extends object>(bytes: Uint8Array, schema: z.ZodType<T>, name: string): T | FileProblem {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return `${name} is not valid JSON`;
  }
  const { data, error } = schema.safeParse(json);
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  const problem = `${name} is wrong at ${issue?.path.join(".") || "its top"}: ${issue?.message ?? "it is not usable"}`;
  return problem.replace(/\p{Cc}+/gu, " ").slice(0, MAX_SHOWN);
}
