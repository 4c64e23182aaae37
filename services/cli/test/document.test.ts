/**
 * docs/cli.md against the command line: its commands, transcripts and schemas. After a wanted change,
 * `node dist/test/document.test.js --rewrite` rewrites commands and transcripts; read the difference before you commit it.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { boundText, fieldNamed, RECIPE_FIELDS, type RecipeField } from "@gradpool/recipe";
import { commandTree } from "../src/completion/command-tree.js";
import { readCliConfig } from "../src/config.js";
import { valueText } from "../src/flags.js";
import { createProgram } from "../src/program.js";
import { startExamplePool } from "./example-pool.js";
import { schemasOf, violations } from "./schema-tables.js";
import { writeRunFolder } from "./run-folders.js";
import { jsonLines, REPOSITORY, run, withFolder } from "./support.js";

const PATH = join(REPOSITORY, "docs/cli.md");
const REWRITE = process.argv.includes("--rewrite");
// Local times are shown.
process.env["TZ"] = "UTC";

/** Compares a part of the document with what it should be, or writes that into it. */
async function hold(before: string, after: string): Promise<void> {
  if (!REWRITE) return assert.equal(before, after);
  const document = await readFile(PATH, "utf8");
  await writeFile(
    PATH,
    document.replace(before, () => after),
  );
}

/** A file in the document; its name is in the first line, a comment. */
const FILE = /^```yaml\n# (\S+)\n(.*?)^```$/gms;

/** Does `work` in a folder with the document's files, two output folders, and a pool at the usual address, as it seems. */
async function inExampleFolder(
  work: (run: (line: string) => Promise<string>, env: NodeJS.ProcessEnv) => Promise<void>,
): Promise<void> {
  await using pool = await startExamplePool();
  await withFolder(async (folder) => {
    for (const [, name = "", content = ""] of (await readFile(PATH, "utf8")).matchAll(FILE)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content.replaceAll("127.0.0.1:7070", pool.address));
    }
    await writeRunFolder(join(folder, "monday"), {});
    await writeRunFolder(join(folder, "tuesday"), { runId: "run-2", r: 16, losses: [4, 3.25, 2.5] });
    const env = { GRADPOOL_HOME: join(folder, ".gradpool"), HF_HOME: join(folder, "huggingface") };
    const before = process.cwd();
    process.chdir(folder);
    try {
      await work(async (line) => {
        const { code, stdout, stderr } = await run(line.split(" ").slice(1), env);
        const text = `${stdout}${stderr}${code === 0 ? "" : `(exit code ${code})\n`}`;
        return text.replaceAll(pool.address, "127.0.0.1:7070").replaceAll(folder, "/tmp/demo");
      }, env);
    } finally {
      process.chdir(before);
    }
  });
}

/** A table as prettier writes it. */
function tableText(head: readonly string[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |\n`;
  return [head, widths.map((width) => "-".repeat(width)), ...rows].map(line).join("");
}

/** What a field may be. */
function valuesText({ kind, bound, words, wordsOf, needed }: RecipeField): string {
  if (words) return words.join(", ");
  if (needed) return needed;
  if (bound) return boundText(bound);
  const ofOther = wordsOf === undefined ? [] : (fieldNamed(wordsOf)?.words ?? []);
  return kind === "boolean" ? ["true", "false", ...ofOther].join(", ") : "";
}

describe("docs/cli.md", { timeout: 120_000 }, () => {
  test("lists each command, as its help describes it", async () => {
    const contextOf = () => assert.fail("nothing runs");
    const program = await createProgram({ version: "1.2.3", config: readCliConfig({}), contextOf });
    const rows = commandTree(program)
      .filter(({ path, commands }) => path.length > 0 && commands.length === 0)
      .map(({ path, help }) => [`\`${path.join(" ")}\``, help]);
    const table = tableText(["command", "what it does"], rows);
    const document = await readFile(PATH, "utf8");
    const [written = ""] = /^\| command .*?(?=^\n)/ms.exec(document) ?? [];
    assert.notEqual(written, "");
    await hold(written, table);
  });

  test("lists each field of the recipe, as its row of the table says", async () => {
    const cells = RECIPE_FIELDS.map((field) => {
      const { name, default: value, readBy, sameBits, help } = field;
      const shown = valueText(value) === "" ? "" : `\`${valueText(value)}\``;
      return [`\`${name}\``, shown, valuesText(field), readBy.join(", "), sameBits ? "no" : "yes", help];
    });
    const document = await readFile(PATH, "utf8");
    const [written = ""] = /^\| field +\| default .*?(?=^\n)/ms.exec(document) ?? [];
    assert.notEqual(written, "");
    await hold(written, tableText(["field", "default", "values", "read by", "decides", "what it is"], cells));
  });

  test("shows what its commands write", async () => {
    const blocks = [...(await readFile(PATH, "utf8")).matchAll(/^```console\n(.*?)^```$/gms)];
    assert.ok(blocks.length >= 4);
    await inExampleFolder(async (runLine) => {
      for (const [block, content = ""] of blocks) {
        const lines = content.split("\n").filter((line) => line.startsWith("$ "));
        let replayed = "";
        for (const line of lines) replayed += `${line}\n${await runLine(line.slice(2))}`;
        await hold(block, `\`\`\`console\n${replayed}\`\`\``);
      }
    });
  });

  test("says which fields documents have", async () => {
    const schemas = schemasOf(await readFile(PATH, "utf8"));
    const documents: [schema: string, command: string, pick?: (document: unknown) => unknown][] = [
      ["Run", "run get run-2"],
      ["Run", "run list", (list) => (list as unknown[])[0]],
      ["Run", "run submit"],
      ["Trace", "run trace run-2"],
      ["Trainer", "trainer list", (list) => (list as unknown[])[0]],
      ["Trainer", "trainer drain trainer-1"],
      ["Pool", "pool status"],
      ["Plots", "run plot monday"],
      ["Difference", "run diff monday tuesday"],
      ["Settings", "config show"],
      ["Checks", "config check recipe.yaml"],
      ["Error", "run get run-9"],
    ];
    await inExampleFolder(async (_runLine, env) => {
      for (const [schema, command, pick = (one: unknown) => one] of documents) {
        const { stdout } = await run([...command.split(" "), "--output", "json"], env);
        assert.deepEqual(violations(schemas, schema, pick(JSON.parse(stdout))), [], command);
      }
      const { stdout } = await run(["run", "watch", "run-1", "--json"], env);
      const kinds: Record<string, string> = { run: "Run", step: "Step", evaluation: "Evaluation", checkpoint: "Saved" };
      const events = jsonLines(stdout);
      assert.deepEqual(new Set(events.map(({ event }) => event)), new Set(Object.keys(kinds)));
      for (const { event, ...document } of events) {
        assert.deepEqual(violations(schemas, kinds[String(event)] ?? "", document), [], String(event));
      }
      // Every field that may be there was there.
      assert.deepEqual(
        schemas
          .get("Run")
          ?.filter(({ seen }) => !seen)
          .map(({ path }) => path),
        [],
      );
    });
  });
});
