import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError, parseJson } from "@gradpool/errors";

export const GENERATION_CONFIG = "generation_config.json";

/** A JSON object among a model's files; undefined where there is none. Errors: `data_loss` for what is not JSON. */
export async function readModelJson(modelDir: string, name: string): Promise<Record<string, unknown> | undefined> {
  const path = join(modelDir, name);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const value: unknown = parseJson(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (cause) {
    throw new GradpoolError("data_loss", `${path} is not valid JSON; download the model again`, {
      cause,
    });
  }
}
