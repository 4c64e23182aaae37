import { EMPTY_POSITION } from "@gradpool/models";

/** Places added at a time: too few copy the cache too often, too many are attended to in vain. */
const PLACES_AT_A_TIME = 128;

/** Keys or values of one layer: K heads of D elements. */
export interface CachedTensor {
  /** Of the graph's input. */
  name: string;
  heads: number;
  size: number;
}

/** The keys and values of a text's positions so far, with places to spare. Belongs to one session and one adapter. */
export class KeyValueCache {
  /** Positions that it holds. */
  length = 0;
  /** Positions that it has room for; one of them at least, since a product with nothing is left to the provider. */
  places = 1;
  readonly #tensors = new Map<string, Float32Array>();

  /** [1, K, places, D]; zeros where nothing is remembered yet. */
  tensor({ name, heads, size }: CachedTensor): Float32Array {
    let tensor = this.#tensors.get(name);
    if (!tensor) this.#tensors.set(name, (tensor = new Float32Array(heads * this.places * size)));
    return tensor;
  }

  /** The position in each place, then the `count` positions that come next. */
  seenPositions(count: number): BigInt64Array {
    const seen = new BigInt64Array(this.places + count).fill(EMPTY_POSITION);
    for (let place = 0; place < this.length; place++) seen[place] = BigInt(place);
    for (let i = 0; i < count; i++) seen[this.places + i] = BigInt(this.length + i);
    return seen;
  }

  /** Puts keys and values [1, K, count, D] of the `count` next positions after those that are there. */
  append(count: number, added: Iterable<[CachedTensor, Float32Array]>): void {
    const needed = this.length + count;
    const places = Math.max(this.places, Math.ceil(needed / PLACES_AT_A_TIME) * PLACES_AT_A_TIME);
    for (const [cached, data] of added) {
      const { name, heads, size } = cached;
      const old = this.tensor(cached);
      const tensor = places > this.places ? new Float32Array(heads * places * size) : old;
      for (let head = 0; head < heads; head++) {
        const [from, to] = [head * this.places * size, head * places * size];
        if (tensor !== old) tensor.set(old.subarray(from, from + this.length * size), to);
        tensor.set(data.subarray(head * count * size, (head + 1) * count * size), to + this.length * size);
      }
      this.#tensors.set(name, tensor);
    }
    this.places = places;
    this.length = needed;
  }
}
