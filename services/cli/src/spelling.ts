/** Flags of every command, for spelling. */
export interface KnownFlags {
  /** Without the dashes in front, such as "batch_size". */
  names: ReadonlySet<string>;
  /** Those that stand for true or false. */
  booleans: ReadonlySet<string>;
}

/**
 * Makes one spelling of the several that people use: --batch-size becomes --batch_size, and --no-packing
 * (or --no_packing) becomes --packing=false. What is no flag, and what follows "--", stays as it is.
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
