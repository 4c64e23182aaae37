import type { CompletedCommand } from "./command-tree.js";
import { quoted } from "./shell-words.js";

/** A script for fish: words with descriptions. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const known = commands.filter(({ path }) => path.length > 0).map(({ path }) => quoted(path.join(" ")));
  const lines = commands.flatMap(({ path, commands: inner, flags, words }) => {
    const start = `complete -c gradpool -n ${quoted(`__gradpool_at ${quoted(path.join(" "))}`)}`;
    return [
      ...inner.map(({ name, help }) => `${start} -f -a ${quoted(name)} -d ${quoted(help)}`),
      ...words.map((word) => `${start} -f -a ${quoted(word)}`),
      ...flags.map(({ name, help, takesValue, values }) => {
        const value = values.length > 0 ? ` -x -a ${quoted(values.join(" "))}` : takesValue ? " -r" : "";
        return `${start} -l ${name.replace(/^--/, "")}${value} -d ${quoted(help)}`;
      }),
    ];
  });
  return `# fish completion for gradpool; made by: gradpool completion fish
function __gradpool_at
    set -l at ''
    for word in (commandline -opc)[2..]
        set -l next (string trim -- "$at $word")
        contains -- $next ${known.join(" ")}; and set at $next
    end
    test "$at" = "$argv[1]"
end
${lines.join("\n")}
`;
}
