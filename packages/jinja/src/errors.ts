/** A template that cannot be read or rendered: one line that says why. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  /** Line of the template, from 1; undefined where none is known. */
  line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** A template whose text is not Jinja. */
export class TemplateSyntaxError extends TemplateError {}

/** A rendering that costs more than it may: see limits.ts. */
export class TemplateLimitError extends TemplateError {}
