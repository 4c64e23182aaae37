/**
 * Which of a file's weights is which, and whether the head is a table of its own: as transformers 5.24's from_pretrained
 * decides it (modeling_utils.py, tie_weights). What the file holds beats what config.json says.
 */
import type { WeightEntry, WeightsHeader } from "./tensors.js";

/** Where a family's files keep their tables of tokens. */
export interface TableNames {
  embedding: string;
  head: string;
  /** The head's name in files of other versions of transformers. */
  otherHead?: string;
}

/** The names that weights have in a file, for those that a family gives them. */
export class NamesInFile {
  /** The head is the embedding. */
  readonly tied: boolean;

  /** `tied`: config.json says so. */
  constructor(
    private readonly header: WeightsHeader,
    private readonly tables: TableNames,
    tied: boolean,
  ) {
    const head = header.tensors.get(this.#own(tables.head));
    const embedding = header.tensors.get(this.#own(tables.embedding));
    this.tied = tied && (!head || !embedding || isSamePlace(head, embedding));
  }

  /** Of a tied model with nothing but a head, the embedding is that. */
  of(name: string): string {
    const own = this.#own(name);
    if (name !== this.tables.embedding || !this.tied || this.#has(own)) return own;
    const head = this.#own(this.tables.head);
    return this.#has(head) ? head : own;
  }

  /** Files that were saved without the head lack the first part of their names, as transformers' base models write them. */
  #own(name: string): string {
    const { head, otherHead } = this.tables;
    const others = [name.replace(/^[^.]*\./, ""), ...(name === head && otherHead !== undefined ? [otherHead] : [])];
    return [name, ...others].find((other) => this.#has(other)) ?? name;
  }

  #has(name: string): boolean {
    return this.header.tensors.has(name) || this.header.unreadable?.has(name) === true;
  }
}

/** Two names of one tensor, as torch's files have them for tied ones. */
export const isSamePlace = (a: WeightEntry, b: WeightEntry | undefined): boolean =>
  a.file === b?.file && a.begin === b.begin && a.end === b.end;
