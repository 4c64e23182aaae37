/** Turns growing ids into text piece by piece: a token may end in the middle of a character. */
export class TextStream {
  #said = "";

  constructor(private readonly decode: (ids: Int32Array) => string) {}

  /** What the ids add to the text so far; the rest of an unfinished character waits, unless these are all ids. */
  next(ids: readonly number[], isEnd: boolean): string {
    const text = this.decode(Int32Array.from(ids));
    const whole = isEnd ? text : text.replace(/\ufffd+$/, "");
    if (whole.length <= this.#said.length) return "";
    const piece = whole.slice(this.#said.length);
    this.#said = whole;
    return piece;
  }
}
