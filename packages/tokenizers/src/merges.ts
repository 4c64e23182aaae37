/**
 * Byte-pair encoding by merge rules, exactly as the BPE model of Hugging Face's tokenizers: of all
 * neighbouring pairs with a rule, the one with the best rank is merged, the leftmost of equals first.
 */
import type { Definition } from "./definition.js";
import { BYTE_CHARACTERS } from "./byte-alphabet.js";
import { damaged, shown } from "./json.js";

export class Merges {
  readonly #idOfByte: Int32Array;
  readonly #unk: { id: number; fuse: boolean } | undefined;
  /** By the left id, then the right one. */
  readonly #rules = new Map<number, Map<number, { rank: number; id: number }>>();

  /** Errors: `data_loss` for merges of entries that the vocabulary lacks. */
  constructor({ vocab, merges, unkToken, fuseUnk }: Definition, file: string) {
    this.#idOfByte = Int32Array.from(BYTE_CHARACTERS, (character) => vocab.get(character) ?? -1);
    const unkId = unkToken === undefined ? undefined : vocab.get(unkToken);
    if (unkToken !== undefined && unkId === undefined && !this.coversBytes) {
      throw damaged(file, `is damaged: its unk_token ${shown(unkToken)} is not in the vocabulary`);
    }
    this.#unk = unkId === undefined ? undefined : { id: unkId, fuse: fuseUnk };
    for (const [rank, [left, right]] of merges.entries()) {
      const [a, b, id] = [vocab.get(left), vocab.get(right), vocab.get(left + right)];
      if (a === undefined || b === undefined || id === undefined) {
        const absent = a === undefined ? left : b === undefined ? right : left + right;
        throw damaged(file, `is damaged: merge ${rank + 1} needs ${shown(absent)}, which is not in the vocabulary`);
      }
      let rules = this.#rules.get(a);
      if (!rules) this.#rules.set(a, (rules = new Map()));
      rules.set(b, { rank, id });
    }
  }

  /** Whether every byte has an entry. */
  get coversBytes(): boolean {
    return !this.#idOfByte.includes(-1);
  }

  /** The ids of one piece, and the rank of the last merge (-1 without any). Time: n log n. */
  encode(bytes: Uint8Array): { ids: number[]; lastRank: number } {
    const ids = this.#start(bytes);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const next = Int32Array.from(ids, (_, i) => (i + 1 < ids.length ? i + 1 : -1));
    // Rank first, then place: below 2^53 for 2^21 rules in pieces of up to 2^31 bytes.
    const queue = new MinQueue();
    const offer = (left: number) => {
      const right = next[left]!;
      const rule = right < 0 ? undefined : this.#rules.get(ids[left]!)?.get(ids[right]!);
      if (rule) queue.push(rule.rank * ids.length + left);
    };
    for (let i = 0; i < ids.length; i++) offer(i);
    let lastRank = -1;
    for (let best = queue.pop(); best !== undefined; best = queue.pop()) {
      const left = best % ids.length;
      const right = next[left]!;
      if (ids[left]! < 0 || right < 0) continue;
      const rule = this.#rules.get(ids[left]!)?.get(ids[right]!);
      // The pair may have changed since it was queued.
      if (rule?.rank !== (best - left) / ids.length) continue;
      ids[left] = rule.id;
      ids[right] = -1;
      next[left] = next[right]!;
      if (next[left] >= 0) previous[next[left]] = left;
      lastRank = rule.rank;
      if (previous[left]! >= 0) offer(previous[left]!);
      offer(left);
    }
    return { ids: ids.filter((id) => id >= 0), lastRank };
  }

  #start(bytes: Uint8Array): number[] {
    const ids: number[] = [];
    let unknownBefore = false;
    for (const byte of bytes) {
      const id = this.#idOfByte[byte]!;
      if (id >= 0) ids.push(id);
      else if (this.#unk && !(this.#unk.fuse && unknownBefore)) ids.push(this.#unk.id);
      unknownBefore = id < 0;
    }
    return ids;
  }
}

/** A binary heap of numbers, least first. */
class MinQueue {
  readonly #heap: number[] = [];

  push(value: number): void {
    const heap = this.#heap;
    let at = heap.push(value) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (value >= heap[parent]!) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = value;
  }

  pop(): number | undefined {
    const heap = this.#heap;
    const least = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return least;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return least;
  }
}
