import { GradpoolError } from "@gradpool/errors";

export function refused(where: string, what: string, cause?: unknown): GradpoolError {
  return new GradpoolError("invalid_argument", `${where}: ${what}`, { cause });
}

export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return `a ${typeof value}`;
}
