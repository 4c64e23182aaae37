/** The weights of an adapter that PEFT saved before it wrote safetensors: adapter_model.bin. */
import { readTorchFile } from "@gradpool/torch-file";
import type { Tensor } from "@gradpool/safetensors";

export const TORCH_ADAPTER = "adapter_model.bin";

/** Its tensors, by PEFT's names. Errors: as for readTorchFile. */
export async function torchAdapter(file: Uint8Array, path: string): Promise<Map<string, Tensor>> {
  const read = (offset: number, length: number) => Promise.resolve(file.subarray(offset, offset + length));
  const { tensors } = await readTorchFile({ path, sizeBytes: file.byteLength, read });
  return new Map(
    [...tensors].map(([name, { dtype, shape, begin, end }]) => [name, { dtype, shape, data: file.slice(begin, end) }]),
  );
}
