import type { CompletedCommand } from "./command-tree.js";
import { quoted } from "./shell-words.js";

/** A script for bash: words by the command so far, file names where anything goes. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const steps = commands.flatMap(({ path, commands: inner }) =>
    inner.map(({ name }) => `      ${quoted([...path, name].join(" "))}) path=${quoted([...path, name].join(" "))} ;;`),
  );
  const words = commands.map(({ path, commands: inner, flags, words: choices }) => {
    const names = [...inner.map(({ name }) => name), ...choices].join(" ");
    const flagNames = flags.map(({ name }) => name).join(" ");
    return `    ${quoted(path.join(" "))}) words=${quoted(names)} flags=${quoted(flagNames)} ;;`;
  });
  const values = commands.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map(({ name, values: choices }) => {
        // Flags may be written with underscores or dashes.
        const pattern = quoted([...path, name.replaceAll("-", "_")].join(" "));
        return `    ${pattern}) takes_value=1 words=${quoted(choices.join(" "))} ;;`;
      }),
  );
  return `# bash completion for gradpool; made by: gradpool completion bash
_gradpool() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path= words= flags= takes_value= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${path:+$path }\${COMP_WORDS[i]}" in
${steps.join("\n")}
    esac
  done
  # --flag=value is three words here.
  if [[ $current == = ]]; then current= previous=\${COMP_WORDS[COMP_CWORD-1]}
  elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  case "\${path:+$path }\${previous//-/_}" in
${values.join("\n")}
  esac
  if [[ $takes_value ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  case "$path" in
${words.join("\n")}
  esac
  if [[ $current == -* ]]; then words=$flags; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _gradpool gradpool
`;
}
