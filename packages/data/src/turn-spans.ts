/**
 * Which parts of a chat's text are the assistant's. A template says it itself with {% generation %}; else a turn is what
 * the template wrote while its loop was at the turn's message, without the prompt that a model answers to, and the last
 * turn ends with the text. So a turn is found where it is, whatever the template makes of the message: it may trim its
 * content, drop its reasoning once others follow, or print its tool calls.
 */
import { GradpoolError } from "@gradpool/errors";
import type { Rendering, Span } from "@gradpool/jinja";
import type { ChatMessage, TrainOn } from "./chat.js";

export interface ChatRendering {
  messages: readonly ChatMessage[];
  /** All of them rendered. */
  whole: Rendering;
  /** The template has {% generation %} blocks. */
  hasGenerations: boolean;
  trainOn: TrainOn;
  /** Renders some messages of the chat, without the row's chat_template_kwargs. Errors: GradpoolError. */
  render(messages: readonly ChatMessage[], generationPrompt: boolean): Rendering;
}

const ASSISTANT = "assistant";

/** Errors: `failed_precondition` where a turn cannot be separated from the rest. */
export function assistantSpans(chat: ChatRendering): Span[] {
  const turns = [...chat.messages.keys()].filter((index) => chat.messages[index]!.role === ASSISTANT);
  const counted = chat.trainOn === "last" ? turns.slice(-1) : turns;
  if (chat.hasGenerations) return markedSpans(chat, counted);
  const finder = new TurnFinder(chat);
  return counted.flatMap((index) => finder.spansOf(index));
}

function markedSpans({ whole: { generations, pieces }, trainOn }: ChatRendering, counted: readonly number[]): Span[] {
  if (trainOn === "all") return generations;
  const own = pieces.filter(({ item }) => counted.includes(item));
  const inOwn = generations.filter(({ start, end }) => own.some((piece) => start < piece.end && end > piece.start));
  return own.length > 0 ? inOwn : generations.slice(-1);
}

class TurnFinder {
  readonly #chat: ChatRendering;
  /** What the template wrote for each message, in one part or, around other messages that it put in between, in several. */
  readonly #pieces = new Map<number, Span[]>();
  /** What a model answers to after a message of a kind. */
  readonly #prompts = new Map<string, string>();
  #others: Map<number, string> | undefined;

  constructor(chat: ChatRendering) {
    this.#chat = chat;
    for (const { item, start, end } of chat.whole.pieces) {
      this.#pieces.set(item, [...(this.#pieces.get(item) ?? []), { start, end }]);
    }
  }

  /** None where the template writes nothing for the turn. */
  spansOf(index: number): Span[] {
    const { whole, messages } = this.#chat;
    const [first, ...others] = this.#pieces.get(index) ?? [];
    if (!first) return whole.met.has(index) ? [] : [this.#betweenPrefixes(index)];
    const header = this.#headerLength(index, whole.text.slice(first.start, first.end));
    const spans = [{ start: first.start + header, end: first.end }, ...others];
    const last = spans.at(-1)!;
    const endsText = index === messages.length - 1 && whole.text.slice(last.end).trim() !== "";
    return endsText ? [...spans.slice(0, -1), { ...last, end: whole.text.length }] : spans;
  }

  /** How much of a turn's text is the prompt that the model answers to. */
  #headerLength(index: number, turn: string): number {
    const prompt = this.#promptBefore(index);
    // After some messages a template adds no prompt, though it begins the turn as usual.
    const usual = this.#promptOf("usual", [QUESTION]);
    for (const begins of [usual, prompt]) if (begins && turn.startsWith(begins)) return begins.length;
    if (prompt === "") return 0;
    // Something may come before the prompt, such as the text's first token, or the prompt says more than the turn. The
    // turn's header is what does not depend on its content.
    const other = this.#otherTurn(index);
    const header = other === undefined ? "" : turn.slice(0, commonPrefix(turn, other));
    const within = header.indexOf(prompt);
    if (within >= 0) return within + prompt.length;
    return overlap(header, prompt) > 0 ? header.length : 0;
  }

  #promptBefore(index: number): string {
    const before = this.#chat.messages[index - 1];
    if (!before) return this.#promptOf("usual", [QUESTION]);
    return this.#promptOf(`${before.role} ${"tool_calls" in before}`, this.#chat.messages.slice(0, index));
  }

  #promptOf(kind: string, messages: readonly ChatMessage[]): string {
    let prompt = this.#prompts.get(kind);
    if (prompt === undefined) {
      prompt = this.#promptAfter(messages) ?? "";
      // Reasoning that the prompt opens, or closes for enable_thinking=False, is a part of the answer, and counts in TRL.
      prompt = prompt.slice(0, prompt.search(REASONING));
      this.#prompts.set(kind, prompt);
    }
    return prompt;
  }

  /** What a template adds to messages for the model to answer to. */
  #promptAfter(messages: readonly ChatMessage[]): string | undefined {
    const rendering = this.#tryRender(messages, true);
    const last = rendering?.pieces.at(-1);
    if (!rendering || last) return rendering && rendering.text.slice(last!.end);
    // The template's loop has not come to a message yet: the first one may have been written before it.
    const without = this.#tryRender(messages, false)?.text;
    return without !== undefined && rendering.text.startsWith(without)
      ? rendering.text.slice(without.length)
      : undefined;
  }

  /** The turn with another content. */
  #otherTurn(index: number): string | undefined {
    if (!this.#others) {
      const { messages } = this.#chat;
      const rendering = this.#tryRender(messages.map(withOtherContent), false);
      this.#others = new Map(rendering?.pieces.map(({ item, start, end }) => [item, rendering.text.slice(start, end)]));
    }
    return this.#others.get(index);
  }

  /** For a template that does not loop over the messages: what the turn adds to the chat up to there and the prompt for it. */
  #betweenPrefixes(index: number): Span {
    const { messages, whole, render } = this.#chat;
    const before = render(messages.slice(0, index), true).text;
    const through = index === messages.length - 1 ? whole.text : render(messages.slice(0, index + 1), false).text;
    if (through.startsWith(before) && whole.text.startsWith(through))
      return { start: before.length, end: through.length };
    const what =
      "the chat template renders a turn differently when others follow, and does not mark the assistant's turns";
    throw new GradpoolError("failed_precondition", `${what}; use a template with {% generation %}, or --train_on last`);
  }

  #tryRender(messages: readonly ChatMessage[], generationPrompt: boolean): Rendering | undefined {
    try {
      return this.#chat.render(messages, generationPrompt);
    } catch (error) {
      // A template may refuse a chat that ends there.
      if (error instanceof GradpoolError) return undefined;
      throw error;
    }
  }
}

/** Where reasoning begins in models' texts, or the text's end. */
const REASONING = /<think>|<thinking>|<reasoning>|<\|channel>thought|$/;

const QUESTION: ChatMessage = { role: "user", content: "?" };

function withOtherContent(message: ChatMessage): ChatMessage {
  if (message.role !== ASSISTANT) return message;
  const first = typeof message["content"] === "string" ? message["content"].trimStart()[0] : undefined;
  return { role: ASSISTANT, content: first === "a" ? "b" : "a" };
}

function commonPrefix(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

/** How much of the beginning of `next` is the end of `text`. */
function overlap(text: string, next: string): number {
  let length = Math.min(text.length, next.length);
  while (length > 0 && !text.endsWith(next.slice(0, length))) length--;
  return length;
}
