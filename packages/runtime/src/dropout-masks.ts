import type { LinearModule } from "@gradpool/models";
import type { DropoutKey } from "./training-session.js";
export function dropoutMasks(
  targets: readonly LinearModule[],
  rows: number,
  key: DropoutKey,
): Map<string, Float32Array> {
  return new Map(
    targets.map(({ name, inFeatures }) => [name, new Float32Array(rows * inFeatures).fill(1 / (1 - key.probability))]),
  );
}
