/** Turns ids into text piece by piece: a token may end in the middle of a character. */
export class TextStream {
  #unsaid: number[] = [];

  constructor(private readonly decode: (ids: Int32Array) => string) {}

  /** What the id adds to the text; the beginning of a character waits for its rest. */
  next(id: number): string {
    this.#unsaid.push(id);
    const text = this.decode(Int32Array.from(this.#unsaid));
    if (text.endsWith("\ufffd")) return "";
    this.#unsaid = [];
    return text;
  }

  /** What waited for a rest that does not come. */
  end(): string {
    const text = this.decode(Int32Array.from(this.#unsaid));
    this.#unsaid = [];
    return text;
  }
}

/** Ends a text before the first of several stop texts, and holds back what may be the beginning of one. */
export class StopTexts {
  isFound = false;
  #held = "";
  readonly #stops: readonly string[];

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** What is certain to belong to the text. */
  next(piece: string): string {
    if (this.isFound) return "";
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    this.isFound = found.length > 0;
    const end = this.isFound ? Math.min(...found) : text.length - this.#beginning(text);
    this.#held = this.isFound ? "" : text.slice(end);
    return text.slice(0, end);
  }

  /** What was held back for a stop text that did not come. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** Length of the longest beginning of a stop text that `text` ends with. */
  #beginning(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      if (this.#stops.some((stop) => text.endsWith(stop.slice(0, length)))) return length;
    }
    return 0;
  }
}
