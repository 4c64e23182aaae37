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
  /** Ids are below 2^31 but a key of two must be exact: rules count entries in order of their appearance. */
  readonly #rules = new Map<number, Map<number, { rank: number; id: number }>>();

  /** Errors: `data_loss` for merges of entries that the vocabulary lacks. */
  constructor({ vocab, merges, unkToken, fuseUnk }: Definition, file: string) {
    this.#idOfByte = Int32Array.from(BYTE_CHARACTERS, (character) => vocab.get(character) ?? -1);
    const unkId = unkToken === undefined ? undefined : vocab.get(unkToken);
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
    const queue = new MergeQueue();
    const offer = (left: number) => {
      const right = next[left]!;
      const rule = right < 0 ? undefined : this.#rules.get(ids[left]!)?.get(ids[right]!);
      if (rule) queue.push({ rank: rule.rank, left, id: rule.id });
    };
    for (let i = 0; i < ids.length; i++) offer(i);
    let lastRank = -1;
    for (let best = queue.pop(); best; best = queue.pop()) {
      const { left, rank, id } = best;
      const right = next[left]!;
      if (ids[left]! < 0 || right < 0) continue;
      // The pair may have changed since it was queued.
      if (this.#rules.get(ids[left]!)?.get(ids[right]!)?.rank !== rank) continue;
      ids[left] = id;
      ids[right] = -1;
      next[left] = next[right]!;
      if (next[left]! >= 0) previous[next[left]!] = left;
      lastRank = rank;
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

interface Candidate {
  rank: number;
  left: number;
  id: number;
}

/** A binary heap: best rank first, then leftmost. */
class MergeQueue {
  readonly #heap: Candidate[] = [];

  push(candidate: Candidate): void {
    const heap = this.#heap;
    let at = heap.push(candidate) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(candidate, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = candidate;
  }

  pop(): Candidate | undefined {
    const heap = this.#heap;
    const best = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return best;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return best;
  }
}

function before(a: Candidate, b: Candidate): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.left < b.left);
}
