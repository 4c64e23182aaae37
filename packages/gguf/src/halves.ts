import { float16ToFloat32 } from "@gradpool/safetensors";

/** float32 of each of the 65,536 halves, for the scales. */
const HALVES = float16ToFloat32(new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer));

/** The half at `at`, little-endian, as float32. */
export const halfAt = (bytes: Uint8Array, at: number): number => HALVES[bytes[at]! | (bytes[at + 1]! << 8)]!;
