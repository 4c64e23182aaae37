/** README's table "From the usual script" against the command line: flags, values and familiar names. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { fieldNamed } from "@gradpool/recipe";
import { addCommonFlags } from "../src/common-flags.js";
import { readCliConfig } from "../src/config.js";
import { createProgram } from "../src/program.js";
import { familiarAdvice, familiarName } from "../src/settings/familiar-names.js";
import { oneSpelling } from "../src/spelling.js";
import { REPOSITORY } from "./support.js";

/** Cells of the table, less their backslashes; code alone of the right one. */
async function rows(): Promise<{ script: string; flags: string[] }[]> {
  const readme = await readFile(join(REPOSITORY, "README.md"), "utf8");
  const [, section = ""] = /^## From the usual script\n(.*?)^## /ms.exec(readme) ?? [];
  return section
    .split("\n")
    .filter((line) => /^\| .*`/.test(line))
    .map((line) => {
      const [script = "", flags = ""] = line
        .split(/(?<!\\)\|/)
        .slice(1, 3)
        .map((cell) => cell.replaceAll("\\|", "|"));
      return { script, flags: [...flags.matchAll(/`(--[^`]*)`/g)].map(([, code = ""]) => code) };
    });
}

async function trainCommand(): Promise<Command> {
  const contextOf = () => assert.fail("nothing runs");
  const program = await createProgram({ version: "1.2.3", config: readCliConfig({}), contextOf });
  addCommonFlags(program, undefined);
  return program.commands.find((command) => command.name() === "train") ?? assert.fail("no train");
}

/** Words as a shell makes them, capitals standing for values. */
const wordsOf = (code: string) =>
  [...code.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");

test("README: each flag of the usual script's table exists, and takes the value shown", async () => {
  const all = await rows();
  assert.ok(all.length > 30);
  for (const { flags } of all) {
    for (const code of flags) {
      const command = (await trainCommand()).exitOverride();
      const options = command.options.map((option) => option.name());
      const known = { names: new Set(options), booleans: new Set(options) };
      // A flag alone means that flag with any value.
      const words = oneSpelling(wordsOf(code), known);
      const [name = ""] = words;
      if (words.length === 1) assert.ok(options.includes(name.replace(/^--|=.*$/g, "")), code);
      else assert.deepEqual(command.parseOptions(words).unknown, [], code);
    }
  }
});

test("README: what the script calls by another name, the command line knows by that name", async () => {
  let compared = 0;
  for (const { script, flags } of await rows()) {
    const text = flags.join(" ");
    for (const [, name = "", value = ""] of script.matchAll(/\b([a-z_]+)=("[^"]*"|[\w.-]+)/g)) {
      const flag = fieldNamed(name)?.name ?? fieldNamed(`lora_${name}`)?.name ?? familiarName(name);
      if (!flag || !text.includes(`--${flag}`)) continue;
      const given = new RegExp(`--${flag} (\\S+)`).exec(text)?.[1];
      if (given === undefined || given.startsWith("--") || value === "True") continue;
      const literal = value.replace(/^torch\.|"/g, "");
      const same = Number.isNaN(Number(literal)) ? given === literal : Number(given) === Number(literal);
      assert.ok(same || /[A-Z]/.test(given), `${name}=${value} and --${flag} ${given}`);
      compared += 1;
    }
    for (const [, name = ""] of script.matchAll(/\b([a-z]+(?:_[a-z]+)+)=/g)) {
      const isKnown = fieldNamed(name) ?? familiarName(name) ?? familiarAdvice(name) ?? text.includes(`--${name}`);
      assert.ok(isKnown || ALONE.has(name), `${name} is neither a flag nor a familiar name`);
    }
  }
  assert.ok(compared > 15);
});

/** Arguments of functions, not of a command line. */
const ALONE = new Set(["is_trainable", "data_files", "attn_pdrop"]);
