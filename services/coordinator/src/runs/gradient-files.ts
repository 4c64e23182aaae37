import type { AdapterTensors } from "@gradpool/adapter";
import { headerLength, LENGTH_BYTES, readSafetensors, toFloat32 } from "@gradpool/safetensors";

/** Kept for later results of a run, at most: what is given back beyond that is freed. */
const MAX_SPARE_BYTES = 64 << 20;

interface Read {
  file: Uint8Array;
  /** A copy of the file's header. */
  header: Uint8Array;
  gradients: AdapterTensors;
}

/**
 * The memory that a run's results arrive in. It is used again once a result is added: fresh memory for each of them made the garbage
 * collector look through the whole heap several times a step. What never comes back is freed like everything else.
 */
export class GradientFiles {
  readonly #spare: Read[] = [];
  #spareBytes = 0;
  /** What was read and not yet given back. */
  readonly #read = new WeakMap<AdapterTensors, Read>();
  /** What the memory held before, which its next file has the layout of. */
  readonly #before = new WeakMap<Uint8Array, Read>();

  /** Memory for a file. It holds anything until it is written. */
  take(sizeBytes: number): Uint8Array {
    const fitting = this.#spare.findIndex(({ file }) => file.byteLength === sizeBytes);
    if (fitting < 0) return new Uint8Array(sizeBytes);
    const [spare] = this.#spare.splice(fitting, 1) as [Read];
    this.#spareBytes -= sizeBytes;
    this.#before.set(spare.file, spare);
    return spare.file;
  }

  /**
   * The file's tensors as float32: views of it where they can be. `check` is asked where the header is not the one that this memory
   * held before. Errors: those of readSafetensors and `check`.
   */
  read(file: Uint8Array, check: (gradients: AdapterTensors) => void): AdapterTensors {
    const before = this.#before.get(file);
    if (before && isPrefix(before.header, file)) {
      this.#read.set(before.gradients, before);
      return before.gradients;
    }
    const gradients: AdapterTensors = new Map();
    let areViews = true;
    for (const [name, tensor] of readSafetensors(file, "the trainer's result").tensors) {
      const data = toFloat32(tensor);
      areViews &&= data.buffer === file.buffer;
      gradients.set(name, { shape: tensor.shape, data });
    }
    check(gradients);
    if (areViews)
      this.#read.set(gradients, { file, header: file.slice(0, LENGTH_BYTES + headerLength(file)), gradients });
    return gradients;
  }

  /** What `read` returned is no longer needed: its memory is used for another. */
  giveBack(gradients: AdapterTensors): void {
    const read = this.#read.get(gradients);
    // Once only: by then another result may arrive in it.
    this.#read.delete(gradients);
    if (!read || this.#spareBytes + read.file.byteLength > MAX_SPARE_BYTES) return;
    this.#spare.push(read);
    this.#spareBytes += read.file.byteLength;
  }
}

function isPrefix(prefix: Uint8Array, whole: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (prefix[i] !== whole[i]) return false;
  return true;
}
