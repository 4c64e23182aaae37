export { TemplateError, TemplateLimitError, TemplateSyntaxError } from "./errors.js";
export { DEFAULT_LIMITS, type Limits } from "./limits.js";
export type { Piece, Span } from "./runtime.js";
export { Template, type Rendering, type RenderOptions } from "./template.js";
export { Float } from "./values.js";
