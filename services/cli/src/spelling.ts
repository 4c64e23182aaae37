/** The spelling of flags. */
export interface KnownFlags {
  /** Without the dashes in front, such as "batch_size". */
  names: ReadonlySet<string>;
  /** Those that are true or false. */
  booleans: ReadonlySet<string>;
}

/**
 * Turns the spellings that people use into one: --batch-size becomes --batch_size, and --no-packing
 * (or --no_packing) becomes --packing=false. Other words, and what follows "--", stay as they are.
 */
export function oneSpelling(argv: readonly string[], known: KnownFlags): string[] {
  const end = argv.indexOf("--");
  return argv.map((argument, i) => {
    const match = end >= 0 && i >= end ? null : /^--([A-Za-z][\w-]*)(=.*)?$/s.exec(argument);
    if (!match) return argument;
    const name = (match[1] ?? "").replaceAll("-", "_");
    const value = match[2] ?? "";
    if (known.names.has(name)) return `--${name}${value}`;
    const positive = name.replace(/^no_/, "");
    if (positive !== name && value === "" && known.booleans.has(positive)) return `--${positive}=false`;
    // An unknown flag will be refused: without its value, the near one can be found.
    return `--${match[1] ?? ""}`;
  });
}
