/** A word in single quotes, as bash and zsh read it; fish does where no backslash is before a quote, as here. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'"'"'`)}'`;
