/**
 * What a command writes: results on standard output, everything else on standard error. Text for people passes here, and
 * control characters in it are shown as escapes, whoever chose them; documents are for programs and stay as they are.
 */
import type { ErrorCode } from "@gradpool/errors";
import { visible, visibleLines } from "@gradpool/format";
import { stringify } from "yaml";

/** The part of a stream that is used; process.stdout and process.stderr have it. */
export interface Sink {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** Results as text for people, or as documents for programs: JSON, one a line, or YAML, each after "---". */
export const OUTPUT_FORMATS = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface OutputOptions {
  stdout: Sink;
  stderr: Sink;
  /** With json and yaml nothing else is on standard output. */
  format: OutputFormat;
}

/** The shortest time between plain progress lines. */
const PLAIN_PROGRESS_MS = 5_000;

export class Output {
  readonly #format: OutputFormat;
  readonly #stdout: Sink;
  readonly #stderr: Sink;
  #liveLine = "";
  #lastPlainMs = -Infinity;
  #failureFacts: object = {};

  constructor({ stdout, stderr, format }: OutputOptions) {
    this.#format = format;
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** People read the results, not programs. */
  get isForPeople(): boolean {
    return this.#format === "table";
  }

  /** A person sees the results as they come; no file keeps them. */
  get isTerminal(): boolean {
    return this.#stdout.isTTY === true && this.isForPeople;
  }

  /** Progress is drawn over itself, on a terminal. */
  get isLive(): boolean {
    return this.#stderr.isTTY === true && this.isForPeople;
  }

  /** Lines of a result for people; nothing for programs. */
  say(text: string): void {
    if (this.isForPeople) this.#write(this.#stdout, `${visibleLines(text)}\n`);
  }

  /** A piece of text as it comes, without a line's end; nothing for programs. */
  stream(text: string): void {
    if (this.isForPeople) this.#write(this.#stdout, visibleLines(text));
  }

  /** One document, or the next of a stream of them; nothing for people. */
  document(value: unknown): void {
    if (!this.isForPeople) this.#write(this.#stdout, documentText(value, this.#format));
  }

  /** A remark, not a result. */
  note(text: string): void {
    this.#write(this.#stderr, `${visibleLines(text)}\n`);
  }

  /** What the document of a failure holds besides the error: the part that could be found. */
  failWith(facts: object): void {
    this.#failureFacts = facts;
  }

  /** Why the command failed. */
  failure(code: ErrorCode | "usage", message: string): void {
    this.document({ error: { code, message }, ...this.#failureFacts });
    this.note(`gradpool: ${message}`);
  }

  /**
   * How far things are. On a terminal the line replaces the previous one; elsewhere it is written every
   * few seconds, or when it is `due` whatever the time. Nothing for programs.
   */
  progress(text: string, due = false): void {
    if (!this.isForPeople) return;
    const line = visible(text);
    if (this.isLive) {
      const width = Math.max(20, (this.#stderr.columns || 80) - 1);
      this.#liveLine = line.length > width ? `${line.slice(0, width - 1)}…` : line;
      this.#stderr.write(`\r\x1b[K${this.#liveLine}`);
      return;
    }
    const now = performance.now();
    if (!due && now - this.#lastPlainMs < PLAIN_PROGRESS_MS) return;
    this.#lastPlainMs = now;
    this.#stderr.write(`${line}\n`);
  }

  /** Leaves the last progress line in place; what follows begins on a new line. */
  endProgress(): void {
    if (this.#liveLine) this.#stderr.write("\n");
    this.#liveLine = "";
  }

  /** Other text goes above the live line. */
  #write(sink: Sink, text: string): void {
    if (!this.#liveLine) {
      sink.write(text);
      return;
    }
    this.#stderr.write("\r\x1b[K");
    sink.write(text);
    this.#stderr.write(this.#liveLine);
  }
}

function documentText(value: unknown, format: OutputFormat): string {
  const json = JSON.stringify(value);
  if (format === "json") return `${json}\n`;
  // What JSON leaves out, YAML does, too; and what YAML 1.1 takes for a boolean is quoted.
  return `---\n${stringify(JSON.parse(json), { compat: "yaml-1.1", lineWidth: 0 })}`;
}
