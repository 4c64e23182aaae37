/** A terminal's screen, built from what a program writes to it: enough of ECMA-48 for `gradpool top`, and strict about the rest. */

export interface Cell {
  character: string;
  /** Parameters of its graphic rendition, such as "32"; empty: plain. */
  rendition: string;
}

/** A control sequence, another escape sequence, or one character. */
const PIECE = /\x1b\[([?]?[0-9;]*)([@-~])|\x1b(?!\[)[^[]|[^\x1b]/gsu;

/** An incomplete sequence. */
const UNFINISHED = /\x1b(\[[?]?[0-9;]*)?$/;

export class VirtualScreen {
  isAlternate = false;
  hasCursor = true;
  /** Sequences that it does not know. */
  readonly strange: string[] = [];
  #columns: number;
  #rows: Cell[][] = [];
  #row = 0;
  #column = 0;
  #rendition = "";
  #pending = "";

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.resize(columns, rows);
  }

  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = Array.from({ length: rows }, () => this.#blank());
  }

  write(text: string): void {
    const whole = this.#pending + text;
    this.#pending = UNFINISHED.exec(whole)?.[0] ?? "";
    for (const piece of whole.slice(0, whole.length - this.#pending.length).matchAll(PIECE)) {
      if (piece[2] === undefined) this.#character(piece[0]);
      else this.#control(piece[1] ?? "", piece[2]);
    }
  }

  get cells(): readonly (readonly Cell[])[] {
    return this.#rows;
  }

  /** Lines without trailing blanks. */
  get lines(): string[] {
    return this.#rows.map((row) =>
      row
        .map(({ character }) => character)
        .join("")
        .trimEnd(),
    );
  }

  get text(): string {
    return this.lines.join("\n");
  }

  #blank(): Cell[] {
    return Array.from({ length: this.#columns }, () => ({ character: " ", rendition: "" }));
  }

  #character(character: string): void {
    if (character === "\r") this.#column = 0;
    else if (character === "\n") this.#row += 1;
    else if (character < " " || character === "\x7f" || character.startsWith("\x1b")) this.strange.push(character);
    else {
      const row = this.#rows[this.#row];
      // Nothing is written after the last column: wrapping is off.
      if (row && this.#column < this.#columns) row[this.#column] = { character, rendition: this.#rendition };
      this.#column += 1;
    }
  }

  #control(parameters: string, final: string): void {
    const [first = 1, second = 1] = parameters.split(";").map((value) => Number(value) || 1);
    if (final === "H") [this.#row, this.#column] = [first - 1, second - 1];
    else if (final === "K" && parameters === "")
      this.#rows[this.#row]?.splice(this.#column, Infinity, ...this.#blank().slice(this.#column));
    else if (final === "J" && parameters === "2") this.#rows = this.#rows.map(() => this.#blank());
    else if (final === "m") this.#rendition = parameters === "0" ? "" : parameters;
    else if (parameters === "?1049") this.isAlternate = final === "h";
    else if (parameters === "?25") this.hasCursor = final === "h";
    else if (parameters !== "?7") this.strange.push(`${parameters}${final}`);
  }
}
