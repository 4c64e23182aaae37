import type { CompletedCommand } from "./command-tree.js";
import { quoted } from "./shell-words.js";

/** A script for zsh, to be sourced or put into $fpath as _gradpool: words with descriptions, else file names. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const steps = commands.flatMap(({ path, commands: inner }) =>
    inner.map(({ name }) => `      ${quoted([...path, name].join(" "))}) at=${quoted([...path, name].join(" "))} ;;`),
  );
  const described = (entries: readonly { name: string; help: string }[]) =>
    entries.map(({ name, help }) => quoted(`${name}:${help}`)).join(" ");
  const words = commands.map(({ path, commands: inner, flags, words: choices }) => {
    const listed = [...inner, ...choices.map((name) => ({ name, help: "" }))];
    return `    ${quoted(path.join(" "))}) found=(${described(listed)}) flags=(${described(flags)}) ;;`;
  });
  const values = commands.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map(({ name, values: choices }) => {
        const list = choices.map(quoted).join(" ");
        return `    ${quoted([...path, name].join(" "))}) takes_value=1 choices=(${list}) ;;`;
      }),
  );
  return `#compdef gradpool
# zsh completion for gradpool; made by: gradpool completion zsh
_gradpool() {
  local at= takes_value= i
  local -a found flags choices
  for ((i = 2; i < CURRENT; i++)); do
    case "\${at:+$at }\${words[i]}" in
${steps.join("\n")}
    esac
  done
  case "\${at:+$at }\${words[CURRENT-1]}" in
${values.join("\n")}
  esac
  if [[ -n $takes_value ]]; then
    if (( $#choices )); then compadd -a choices; else _files; fi
    return
  fi
  case "$at" in
${words.join("\n")}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe flag flags
  elif (( $#found )); then _describe command found
  else _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _gradpool "$@"; else compdef _gradpool gradpool; fi
`;
}
