/**
 * A tokenizer's chat template, as transformers' apply_chat_template renders it (Jinja with trim_blocks and
 * lstrip_blocks), and which parts of the text are the assistant's. Templates are interpreted by
 * @huggingface/jinja: nothing in them is executed as code, and nothing but the messages is within their reach.
 */
import { GradpoolError } from "@gradpool/errors";
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { MAX_CHAT_TEMPLATE_LENGTH, MAX_CHAT_TEXT_LENGTH, MAX_TEMPLATE_RANGE } from "./limits.js";
import type { Encoder } from "./recipe.js";
import type { ChatMessage } from "./row-content.js";
import type { Span } from "./token-spans.js";

export interface ChatTemplateSource {
  /** Jinja. */
  template: string;
  /** Texts of the tokenizer's special tokens by their roles, such as bos_token. */
  specialTokens: Readonly<Record<string, string>>;
}

const ASSISTANT = "assistant";

const CONSTANTS = { true: true, True: true, false: false, False: false, none: null, None: null };

const GENERATION_TAG = /{%(-?)\s*(end)?generation\s*(-?)%}/g;

/** Errors: `failed_precondition` without a template, or with one that cannot be read. */
export function chatTemplateOf({ chatTemplate }: Encoder): ChatTemplate {
  if (chatTemplate) return new ChatTemplate(chatTemplate);
  const advice = "use a model that has one, or add it as chat_template.jinja to the model folder";
  throw new GradpoolError("failed_precondition", `the model's tokenizer has no chat template; ${advice}`);
}

export class ChatTemplate {
  readonly #template: Template;
  readonly #specialTokens: Readonly<Record<string, string>>;
  /** The template says itself what the assistant's turns are. */
  readonly #marksTurns: boolean;

  /** Errors: `failed_precondition` when it is no template. */
  constructor({ template, specialTokens }: ChatTemplateSource) {
    if (template.length > MAX_CHAT_TEMPLATE_LENGTH) throw unusable("is too long");
    // Marks within the block tags, so that whitespace around the tags is trimmed as ever.
    const marked = template.replace(GENERATION_TAG, (_, left: string, end: string | undefined, right: string) =>
      end
        ? `{%${left} endif %}{{ generation_end }}{% endif ${right}%}`
        : `{%${left} if true %}{{ generation_start }}{% if true ${right}%}`,
    );
    this.#marksTurns = marked !== template;
    this.#specialTokens = specialTokens;
    try {
      this.#template = new Template(marked);
    } catch (error) {
      throw unusable(`cannot be read (${reasonOf(error)})`, error);
    }
  }

  /** The text of a chat, and the assistant's parts of it. Errors: `invalid_argument` for messages the template refuses. */
  render(messages: readonly ChatMessage[]): { text: string; spans: Span[] } {
    return this.#marksTurns ? this.#renderMarked(messages) : this.#renderPrefixes(messages);
  }

  /** The text of a chat up to where the assistant is to answer, as apply_chat_template's add_generation_prompt. Errors: as render. */
  prompt(messages: readonly ChatMessage[]): string {
    return this.#text(messages, true);
  }

  #renderMarked(messages: readonly ChatMessage[]): { text: string; spans: Span[] } {
    const mark = unusedMark(messages);
    const pieces = this.#text(messages, false, mark).split(mark);
    const spans: Span[] = [];
    let text = "";
    for (const [index, piece] of pieces.entries()) {
      // Marks come in pairs: every other piece is the assistant's.
      if (index % 2 === 1) spans.push({ start: text.length, end: text.length + piece.length });
      text += piece;
    }
    return { text, spans };
  }

  /** Each turn of the assistant's is what its message adds to the chat up to there and the prompt for it. */
  #renderPrefixes(messages: readonly ChatMessage[]): { text: string; spans: Span[] } {
    const text = this.#text(messages, false);
    const spans: Span[] = [];
    for (const [index, { role }] of messages.entries()) {
      if (role !== ASSISTANT) continue;
      const before = this.#text(messages.slice(0, index), true);
      const through = index === messages.length - 1 ? text : this.#text(messages.slice(0, index + 1), false);
      if (!through.startsWith(before) || !text.startsWith(through)) {
        const what =
          "the chat template renders a turn differently when others follow, and does not mark the assistant's";
        const advice = "use a template with {% generation %}";
        throw new GradpoolError("failed_precondition", `${what}; ${advice}`);
      }
      spans.push({ start: before.length, end: through.length });
    }
    return { text, spans };
  }

  #text(messages: readonly ChatMessage[], addGenerationPrompt: boolean, mark = ""): string {
    const variables = {
      ...CONSTANTS,
      ...this.#specialTokens,
      messages: messages.map((message) => ({ ...message })),
      add_generation_prompt: addGenerationPrompt,
      generation_start: mark,
      generation_end: mark,
      raise_exception: refuse,
      range: boundedRange,
    };
    let text: string;
    try {
      // Not Template.render: it brings a range of any length and the day's date, which would change the ids.
      const environment = new Environment();
      for (const [name, value] of Object.entries(variables)) environment.set(name, value);
      text = String(new Interpreter(environment).run(this.#template.parsed).value);
    } catch (error) {
      const advice = "correct the messages, or the model's chat template";
      const message = `the chat template refuses the messages (${reasonOf(error)}); ${advice}`;
      throw new GradpoolError("invalid_argument", message, { cause: error });
    }
    if (text.length <= MAX_CHAT_TEXT_LENGTH) return text;
    throw new GradpoolError(
      "invalid_argument",
      `a chat has ${text.length} characters as a text; split it into shorter ones`,
    );
  }
}

function refuse(message: unknown): never {
  throw new Error(String(message));
}

/** Jinja's range, which would make a list of any length. */
function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = typeof stop === "number" ? [start, stop] : [0, start];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (!(count <= MAX_TEMPLATE_RANGE)) throw new Error(`a range is longer than ${MAX_TEMPLATE_RANGE}`);
  return Array.from({ length: count }, (_, index) => from + index * step);
}

/** A text that no message holds. */
function unusedMark(messages: readonly ChatMessage[]): string {
  let mark = "\u{f8ff}";
  while (messages.some(({ role, content }) => role.includes(mark) || content.includes(mark))) mark += "\u{f8fe}";
  return mark;
}

function unusable(what: string, cause?: unknown): GradpoolError {
  return new GradpoolError("failed_precondition", `the tokenizer's chat template ${what}; correct it`, { cause });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
