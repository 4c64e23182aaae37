/** gradpool completion, in the shells themselves. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { run, withFolder } from "./support.js";

const execute = promisify(execFile);

const has = (shell: string) =>
  execute(shell, ["-c", "exit 0"]).then(
    () => false as const,
    () => `needs ${shell}`,
  );

/** What was typed, the word to complete last, and some of what a shell must offer, and must not. */
const TYPED: [words: string[], offered: string[], others: string[]][] = [
  [[""], ["train", "up", "run", "completion"], ["list", "--help"]],
  [["ru"], ["run"], ["train"]],
  [["run", ""], ["submit", "list", "plot", "diff"], ["train"]],
  [["run", "submit", "--learning"], ["--learning_rate"], ["--trainers"]],
  [["run", "list", "--output", ""], ["table", "json", "yaml"], ["--json"]],
  [["train", "--lr_scheduler", "co"], ["constant", "cosine"], ["linear"]],
  [["train", "--epochs", "2", "--packing", ""], ["true", "false"], []],
  [["completion", ""], ["bash", "zsh", "fish"], []],
  [["config", "show", "--j"], ["--json"], ["--output"]],
  // Files: nothing of ours.
  [["train", "--config", ""], [], ["train", "table", "--json"]],
  [["checkpoint", "list", ""], [], ["list", "--json"]],
];

/** In each shell, prints what it offers for "$@", one a line. */
const SHELLS: Record<string, (script: string) => string> = {
  bash: (script) => `
    source ${script}
    COMP_WORDS=(gradpool "$@"); COMP_CWORD=$#
    _gradpool; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // The parts of its completion system that choose among the words are not there outside of a terminal.
  zsh: (script) => `
    compdef() { : }
    _files() { : }
    offer() { for one in "$@"; do [[ \${one%%:*} == \${words[CURRENT]}* ]] && print -r -- "\${one%%:*}"; done }
    compadd() { offer "\${(@P)2}" }
    _describe() { offer "\${(@P)2}" }
    source ${script}
    words=(gradpool "$@"); CURRENT=$(( $# + 1 ))
    _gradpool; true`,
  fish: (script) => `
    source ${script}
    complete -C (string join ' ' -- gradpool $argv) | string replace -r '\\t.*' ''
    true`,
};

describe("gradpool completion", { timeout: 120_000 }, () => {
  for (const [shell, program] of Object.entries(SHELLS)) {
    test(`completes commands, flags and values in ${shell}`, async (context) => {
      const missing = await has(shell);
      if (missing) return context.skip(missing);
      const { code, stdout, stderr } = await run(["completion", shell]);
      assert.equal(code, 0, stderr);
      await withFolder(async (folder) => {
        const script = join(folder, "completion");
        await writeFile(script, stdout);
        const driver = join(folder, "driver");
        await writeFile(driver, program(script));
        for (const [words, offered, others] of TYPED) {
          const result = await execute(shell, [driver, ...words], {
            cwd: folder,
            env: { ...process.env, HOME: folder },
          });
          const found = result.stdout.split("\n").filter(Boolean);
          assert.equal(result.stderr, "", words.join(" "));
          for (const word of offered) assert.ok(found.includes(word), `${words.join(" ")}: no ${word} in ${found}`);
          for (const word of others) assert.ok(!found.includes(word), `${words.join(" ")}: ${word} is offered`);
        }
      });
    });
  }

  test("knows no other shell", async () => {
    const { code, stderr } = await run(["completion", "bsh"]);
    assert.deepEqual([code, stderr], [2, 'gradpool: shell must be one of bash, zsh, fish, not "bsh"\n']);
  });
});
