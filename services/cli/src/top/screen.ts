/** A terminal that a program has for itself: keys come in, frames go out. */
import type { ReadStream, WriteStream } from "node:tty";
import { keysOf, type Key } from "./key.js";
import type { Size } from "./overview.js";
import { render, type Line } from "./styled-text.js";

export interface Terminal {
  input: ReadStream;
  output: WriteStream;
}

/** Alternate screen, no cursor, no wrapping; and back. See xterm's control sequences. */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/** The size assumed for a terminal that does not report one. */
const USUAL: Size = { columns: 80, rows: 24 };

export class Screen implements Disposable {
  readonly #terminal: Terminal;
  readonly #hasColor: boolean;
  readonly #onData: (data: Buffer) => void;
  readonly #onResize: () => void;
  /** The terminal is restored even when the process ends by an uncaught error. */
  readonly #onExit = () => this[Symbol.dispose]();
  /** As drawn last, to draw what differs. */
  #shown: string[] = [];
  #isOver = false;

  constructor(terminal: Terminal, hasColor: boolean, on: { key: (key: Key) => void; resize: () => void }) {
    this.#terminal = terminal;
    this.#hasColor = hasColor;
    this.#onData = (data) => keysOf(data.toString()).forEach(on.key);
    this.#onResize = () => {
      this.#shown = [];
      terminal.output.write("\x1b[2J");
      on.resize();
    };
    const { input, output } = terminal;
    process.once("exit", this.#onExit);
    output.on("resize", this.#onResize);
    input.setRawMode(true).on("data", this.#onData).resume();
    output.write(ENTER);
  }

  get size(): Size {
    const { columns, rows } = this.#terminal.output;
    return { columns: columns || USUAL.columns, rows: rows || USUAL.rows };
  }

  /** Waits, as the terminal is slow, for nothing: a frame that finds it busy is left out. */
  draw(lines: readonly Line[]): void {
    const { output } = this.#terminal;
    if (this.#isOver || output.writableNeedDrain) return;
    const frame = lines.map((line) => render(line, this.size.columns, this.#hasColor));
    const changes = frame.map((text, i) => (text === this.#shown[i] ? "" : `\x1b[${i + 1};1H${text}\x1b[K`)).join("");
    if (changes) output.write(changes);
    this.#shown = frame;
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { input, output } = this.#terminal;
    process.off("exit", this.#onExit);
    output.off("resize", this.#onResize);
    input.off("data", this.#onData).setRawMode(false).pause();
    output.write(LEAVE);
  }
}
