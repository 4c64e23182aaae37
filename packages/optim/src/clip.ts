import type { NamedTensors } from "./adamw.js";

/**
 * Scales gradients in place to a global L2 norm of at most `maxNorm`, as
 * torch.nn.utils.clip_grad_norm_; 0 leaves them as they are. Returns the norm before clipping, a
 * float32 number as in torch: the norm of the tensors' norms, in the map's order. Sums are taken in
 * float64, more exactly than torch does. A gradient that is not finite gives a norm that is not.
 */
export function clipGradNorm(gradients: NamedTensors, maxNorm: number): number {
  const fround = Math.fround;
  let squares = 0;
  for (const { data } of gradients.values()) squares += fround(Math.sqrt(sumOfSquares(data))) ** 2;
  const norm = fround(Math.sqrt(squares));
  if (maxNorm <= 0) return norm;
  // torch divides a number by a tensor as number times reciprocal.
  const coefficient = fround(fround(1 / fround(norm + fround(1e-6))) * fround(maxNorm));
  if (coefficient >= 1) return norm;
  for (const { data } of gradients.values()) {
    for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) * coefficient;
  }
  return norm;
}

function sumOfSquares(data: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += (data[i] as number) * (data[i] as number);
  return sum;
}
