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
  /** Renders some messages of the chat. Errors: GradpoolError. */
  render(messages: readonly ChatMessage[], generationPrompt: boolean): Rendering;
}

const ASSISTANT = "assistant";

/** Errors: `failed_precondition` where a turn cannot be told from the rest. */
export function assistantSpans(chat: ChatRendering): Span[] {
  const turns = [...chat.messages.keys()].filter((index) => chat.messages[index]!.role === ASSISTANT);
  const counted = chat.trainOn === "last" ? turns.slice(-1) : turns;
  if (chat.hasGenerations) return markedSpans(chat, counted);
  const finder = new TurnFinder(chat);
  return counted.flatMap((index) => finder.spanOf(index) ?? []);
}

function markedSpans({ whole: { generations, pieces }, trainOn }: ChatRendering, counted: readonly number[]): Span[] {
  if (trainOn === "all") return generations;
  const own = pieces.filter(({ item }) => counted.includes(item));
  const inOwn = generations.filter(({ start, end }) => own.some((piece) => start < piece.end && end > piece.start));
  return own.length > 0 ? inOwn : generations.slice(-1);
}

class TurnFinder {
  readonly #chat: ChatRendering;
  readonly #pieces = new Map<number, Span>();
  /** What a model answers to after a message of a kind. */
  readonly #prompts = new Map<string, string>();
  #others: Map<number, string> | undefined;

  constructor(chat: ChatRendering) {
    this.#chat = chat;
    // A template that goes through the messages several times writes the chat last.
    for (const { item, start, end } of chat.whole.pieces) this.#pieces.set(item, { start, end });
  }

  /** Undefined where the template writes nothing for the turn. */
  spanOf(index: number): Span | undefined {
    const { whole, messages } = this.#chat;
    const piece = this.#pieces.get(index);
    if (!piece) return whole.met.has(index) ? undefined : this.#betweenPrefixes(index);
    const end = index === messages.length - 1 ? whole.text.length : piece.end;
    return { start: piece.start + this.#headerLength(index, whole.text.slice(piece.start, piece.end)), end };
  }

  /** How much of a turn's text is the prompt that the model answers to. */
  #headerLength(index: number, turn: string): number {
    const prompt = this.#promptBefore(index);
    if (turn.startsWith(prompt)) return prompt.length;
    // The prompt says more than the turn, such as an opened <think>, or something else: what does not depend on the
    // turn's content of what they share is the header.
    return commonPrefix(prompt, turn, this.#otherTurn(index) ?? prompt);
  }

  #promptBefore(index: number): string {
    const before = this.#chat.messages[index - 1];
    const kind = before ? `${before.role} ${"tool_calls" in before}` : "";
    let prompt = this.#prompts.get(kind);
    if (prompt === undefined) {
      prompt = this.#promptAfter(this.#chat.messages.slice(0, index)) ?? this.#promptAfter([QUESTION]) ?? "";
      this.#prompts.set(kind, prompt);
    }
    return prompt;
  }

  /** What a template adds to messages for the model to answer to. */
  #promptAfter(messages: readonly ChatMessage[]): string | undefined {
    if (messages.length === 0) return undefined;
    const rendering = this.#tryRender(messages, true);
    const last = rendering?.pieces.at(-1);
    return rendering && last && rendering.text.slice(last.end);
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
    const what = "the chat template renders a turn differently when others follow, and does not mark the assistant's";
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

const QUESTION: ChatMessage = { role: "user", content: "?" };

function withOtherContent(message: ChatMessage): ChatMessage {
  if (message.role !== ASSISTANT) return message;
  const first = typeof message["content"] === "string" ? message["content"].trimStart()[0] : undefined;
  return { role: ASSISTANT, content: first === "a" ? "b" : "a" };
}

function commonPrefix(...texts: readonly string[]): number {
  const shortest = Math.min(...texts.map((text) => text.length));
  for (let at = 0; at < shortest; at++) if (texts.some((text) => text[at] !== texts[0]![at])) return at;
  return shortest;
}
