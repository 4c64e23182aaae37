/**
 * A tokenizer's chat template, as transformers' apply_chat_template renders it, and which parts of the text are the
 * assistant's (docs/decisions/0017-assistant-turns.md).
 */
import { GradpoolError } from "@gradpool/errors";
import { Template, TemplateError, type Rendering, type Span } from "@gradpool/jinja";
import type { Chat, ChatMessage, ChatTemplateSource, TrainOn } from "./chat.js";
import { MAX_CHAT_TEMPLATE_LENGTH, MAX_CHAT_TEXT_LENGTH, MAX_CHAT_TEXTS_LENGTH, MAX_TEMPLATE_STEPS } from "./limits.js";
import { assistantSpans } from "./turn-spans.js";

/** A chat as a text, and the parts that count. */
export interface RenderedChat {
  text: string;
  spans: Span[];
  /** The text of the chat's prompt, where it names one: what counts begins where the two texts' ids differ. */
  prompt?: string;
}

const LIMITS = { steps: MAX_TEMPLATE_STEPS, textChars: MAX_CHAT_TEXT_LENGTH, madeChars: MAX_CHAT_TEXTS_LENGTH };

/** Names of a message's reasoning; the first is the standard one. */
const REASONING = ["reasoning_content", "thinking", "reasoning"];

/** Errors: `failed_precondition` without a template, or with one that cannot be read. */
export function chatTemplateOf(
  { chatTemplate }: { chatTemplate?: ChatTemplateSource | undefined },
  now = new Date(),
): ChatTemplate {
  if (chatTemplate) return new ChatTemplate(chatTemplate, now);
  const advice = "use a model that has one, or add it as chat_template.jinja to the model folder";
  throw new GradpoolError("failed_precondition", `the model's tokenizer has no chat template; ${advice}`);
}

export class ChatTemplate {
  readonly #template: Template;
  readonly #toolTemplate: Template;
  readonly #specialTokens: Readonly<Record<string, string>>;
  readonly #now: Date;

  /** `now` is what strftime_now prints. Errors: `failed_precondition` when it is not a template. */
  constructor({ template, toolTemplate, specialTokens }: ChatTemplateSource, now = new Date()) {
    this.#template = readTemplate(template);
    this.#toolTemplate = toolTemplate === undefined ? this.#template : readTemplate(toolTemplate);
    this.#specialTokens = specialTokens;
    this.#now = now;
  }

  /** The text of a chat, and what of it counts. Errors: `invalid_argument` for messages the template refuses. */
  render(chat: Chat, trainOn: TrainOn = "all"): RenderedChat {
    const { promptMessages } = chat;
    const messages = chat.messages.map(withReasoning);
    const whole = this.#render(chat, messages, false);
    if (promptMessages !== undefined) {
      const { text } = this.#render(chat, messages.slice(0, promptMessages), true);
      return { text: whole.text, spans: [], prompt: text };
    }
    const { hasGenerations } = this.#templateFor(chat);
    const render = (some: readonly ChatMessage[], generationPrompt: boolean) =>
      this.#render(chat, some, generationPrompt);
    return { text: whole.text, spans: assistantSpans({ messages, whole, hasGenerations, trainOn, render }) };
  }

  /** The text of a chat up to where the assistant is to answer, as apply_chat_template's add_generation_prompt. Errors: as render. */
  prompt(chat: Chat): string {
    return this.#render(chat, chat.messages.map(withReasoning), true).text;
  }

  /** As transformers' get_chat_template chooses. */
  #templateFor({ tools }: Chat): Template {
    return tools ? this.#toolTemplate : this.#template;
  }

  #render(chat: Chat, messages: readonly ChatMessage[], addGenerationPrompt: boolean): Rendering {
    const { tools = null, documents = null, templateKwargs } = chat;
    const variables = {
      ...this.#specialTokens,
      ...templateKwargs,
      messages,
      tools,
      documents,
      add_generation_prompt: addGenerationPrompt,
    };
    try {
      return this.#templateFor(chat).render(variables, { items: messages, limits: LIMITS, now: this.#now });
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      const advice = "correct the messages, or the model's chat template";
      const message = `the chat template refuses the messages (${reasonOf(error)}); ${advice}`;
      throw new GradpoolError("invalid_argument", message, { cause: error });
    }
  }
}

/** As transformers: reasoning under any of its names is there as reasoning_content and as thinking. */
function withReasoning(message: ChatMessage): ChatMessage {
  const name = REASONING.find((key) => message[key] !== undefined && message[key] !== null);
  if (name === undefined) return message;
  const reasoning = message[name];
  return { thinking: reasoning, ...message, reasoning_content: reasoning };
}

function readTemplate(template: string): Template {
  if (template.length > MAX_CHAT_TEMPLATE_LENGTH) throw unusable("is too long");
  try {
    return new Template(template);
  } catch (error) {
    if (error instanceof TemplateError) throw unusable(`cannot be read (${reasonOf(error)})`, error);
    throw error;
  }
}

function unusable(what: string, cause?: unknown): GradpoolError {
  return new GradpoolError("failed_precondition", `the tokenizer's chat template ${what}; correct it`, { cause });
}

function reasonOf({ message, line }: TemplateError): string {
  return line === undefined ? message : `${message}, line ${line} of the template`;
}
