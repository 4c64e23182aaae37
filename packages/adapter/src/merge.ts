import { loraNames, type AdaptedModule, type AdapterTensors } from "./tensors.js";

/** What a LoRA branch adds to a weight as it is stored: scaling · left [rows, r] · right [r, columns]. */
export interface LoraProduct {
  scaling: number;
  left: Float32Array;
  right: Float32Array;
  r: number;
  columns: number;
  /** DoRA's [out]: the length of each output's weights after the sum. */
  magnitude?: Float32Array | undefined;
}

/**
 * The product of scaling and a module's A [r, in] and B [out, r] in the layout of its weight: B·A for [out, in] as in
 * torch.nn.Linear, its transpose for [in, out] as in GPT-2's Conv1D (`fanInFanOut`, PEFT's name).
 */
export function loraProduct(
  { name, inFeatures, outFeatures }: AdaptedModule,
  tensors: AdapterTensors,
  scaling: number,
  fanInFanOut: boolean,
): LoraProduct {
  const names = loraNames(name);
  const [a, b] = [tensors.get(names.a), tensors.get(names.b)];
  if (!a || !b) throw new Error(`the adapter has no tensors of ${name}`);
  const [r = 0] = a.shape;
  const magnitude = tensors.get(names.magnitude)?.data;
  if (!fanInFanOut) return { scaling, left: b.data, right: a.data, r, columns: inFeatures, magnitude };
  const [left, right] = [transposed(a.data, r, inFeatures), transposed(b.data, outFeatures, r)];
  return { scaling, left, right, r, columns: outFeatures, magnitude };
}

/**
 * Adds scaling · left · right to some rows of a weight, the first of which is `firstRow`, in place: what
 * peft's lora.Linear.merge does, with the product in float64. float32 in, float32 out.
 */
export function addProduct(rows: Float32Array, firstRow: number, product: LoraProduct): void {
  const { scaling, left, right, r, columns } = product;
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows.length / columns; row++) {
    sums.fill(0);
    for (let k = 0; k < r; k++) {
      const factor = left[(firstRow + row) * r + k]!;
      const from = k * columns;
      for (let column = 0; column < columns; column++) sums[column]! += factor * right[from + column]!;
    }
    const at = row * columns;
    for (let column = 0; column < columns; column++) rows[at + column]! += scaling * sums[column]!;
  }
}

/** How a weight is stored: [out, in], or [in, out] (`fanInFanOut`). */
export interface WeightLayout {
  columns: number;
  fanInFanOut: boolean;
}

/** The output that each element of some rows, from `firstRow`, belongs to. */
function outputOf(at: number, firstRow: number, { columns, fanInFanOut }: WeightLayout): number {
  return fanInFanOut ? at % columns : firstRow + Math.floor(at / columns);
}

/** Adds the squares of some rows of a weight, the first of which is `firstRow`, to the sums of their outputs [out]. */
export function addSquares(sums: Float64Array, rows: Float32Array, firstRow: number, layout: WeightLayout): void {
  for (let at = 0; at < rows.length; at++) sums[outputOf(at, firstRow, layout)]! += rows[at]! ** 2;
}

/** Multiplies some rows of a weight, the first of which is `firstRow`, by their outputs' factors [out], in place. */
export function scaleOutputs(rows: Float32Array, firstRow: number, factors: Float64Array, layout: WeightLayout): void {
  for (let at = 0; at < rows.length; at++) rows[at]! *= factors[outputOf(at, firstRow, layout)]!;
}

/** [rows, columns] as [columns, rows]. */
function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = data[row * columns + column]!;
  }
  return result;
}
