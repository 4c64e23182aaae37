/** What the documents name exists. Failures name file, line and what to do. */
import { dirname, join } from "node:path";
import { test } from "node:test";
import { assertNone, exists, files, FOLDERS, lineAt, read } from "../src/structure.js";

const documents = files.filter((file) => /^[A-Z]+\.md$|^docs\/.*\.md$/.test(file));
const mentions = (pattern: RegExp) =>
  documents.flatMap((file) =>
    [...read(file).matchAll(pattern)].map((match) => ({
      where: `${file}:${lineAt(read(file), match.index)}`,
      file,
      text: match[1] ?? "",
    })),
  );

test("documents name paths that exist", () => {
  const path = new RegExp(
    `(?<![\\w./-])((?:${[...FOLDERS, "models"].join("|").replace(".", "\\.")})/[\\w./*<>{}-]*)`,
    "g",
  );
  const missing = mentions(path)
    .map((mention) => ({ ...mention, text: mention.text.replace(/[.-]+$/, "") }))
    // Patterns match many files; build output exists if its source does.
    .filter(({ text }) => !/[*<>{}]/.test(text))
    .filter(({ text }) => !exists(text) && !exists(text.replace("/dist/", "/").replace(/\.js$/, ".ts")));
  assertNone(
    missing.map(({ where, text }) => `${where} names ${text}`),
    "name a path that exists, from the root",
  );
});

test("documents link to what exists", () => {
  const missing = mentions(/\]\(([^)#\s]+)[^)]*\)/g).filter(
    ({ file, text }) => !/^\w+:/.test(text) && !exists(join(dirname(file), text)),
  );
  assertNone(
    missing.map(({ where, text }) => `${where} links to ${text}`),
    "link to a file that exists",
  );
});

test("each decision has its own number", () => {
  const numbers = files.flatMap((file) => /^docs\/decisions\/(\d{4})-/.exec(file)?.[1] ?? []);
  const twice = numbers.filter((number, i) => numbers.indexOf(number) !== i);
  assertNone(twice, "give one of them the next free number");
});

test("documents name commands that exist", () => {
  const targets = mentions(/(?:^|`)make ([a-z-]+)/gm).filter(
    ({ text }) => !new RegExp(`^${text}:`, "m").test(read("Makefile")),
  );
  assertNone(
    targets.map(({ where, text }) => `${where} names make ${text}`),
    "name a target of the Makefile",
  );
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const unknown = mentions(/(?:^|`)npm run ([\w:-]+)/gm).filter(({ text }) => scripts[text] === undefined);
  assertNone(
    unknown.map(({ where, text }) => `${where} names npm run ${text}`),
    "name a script of package.json",
  );
});
