import assert from "node:assert/strict";
import { symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Dataset } from "../src/index.js";
import { jsonl, neverAborted, streamOf, textsOf, withFolder } from "./helpers.js";

const open = (...sources: string[]) => Dataset.open(sources, neverAborted);
const WIDE = { maxLength: 100_000 };

async function namesOf(folder: string, ...sources: string[]): Promise<string[]> {
  const { files } = await open(...sources.map((source) => join(folder, source)));
  return files.map(({ name }) => name.slice(folder.length + 1));
}

describe("sources", () => {
  it("searches folders for source and text files, in the order of their paths' bytes", async () => {
    const files = {
      "a/z.ts": "z",
      "a-b.ts": "-",
      "B.py": "B",
      "\u{e000}.md": "private use",
      "\u{1f600}.md": "emoji",
      "rows.jsonl": jsonl(["x"]),
      "lines.txt": "one\n",
      Makefile: "all:",
      "logo.png": "x",
      "notes.unknown": "x",
      "package-lock.json": "{}",
      "pnpm-lock.yaml": "x",
      "yarn.lock": "x",
      ".env.ts": "x",
      ".git/config.ts": "x",
      "node_modules/x/index.js": "x",
      "a/dist/out.js": "x",
    };
    await withFolder(files, async (folder) => {
      const names = ["B.py", "Makefile", "a-b.ts", "a/z.ts", "lines.txt", "rows.jsonl", "\u{e000}.md", "\u{1f600}.md"];
      assert.deepEqual(await namesOf(folder, "."), names);
      assert.deepEqual(await namesOf(folder, "a", "B.py", "a"), ["a/z.ts", "B.py", "a/z.ts"]);
    });
  });

  it("expands globs, leaving out what a folder search leaves out unless it is named", async () => {
    const files = {
      "src/b.ts": "b",
      "src/deep/a.ts": "a",
      "src/deep/c.js": "c",
      "node_modules/x.ts": "x",
      "dist/y.ts": "y",
      "odd[1].ts": "odd",
    };
    await withFolder(files, async (folder) => {
      assert.deepEqual(await namesOf(folder, "**/*.ts"), ["odd[1].ts", "src/b.ts", "src/deep/a.ts"]);
      assert.deepEqual(await namesOf(folder, "src/**/*.{ts,js}"), ["src/b.ts", "src/deep/a.ts", "src/deep/c.js"]);
      assert.deepEqual(await namesOf(folder, "dist/*.ts"), ["dist/y.ts"]);
      assert.deepEqual(await namesOf(folder, "odd[1].ts"), ["odd[1].ts"]);
      const { files: found } = await open(join(folder, "**/*.ts"));
      assert.ok(found.every(({ name }) => name.startsWith(folder)));
    });
  });

  it("follows links to files, not to folders, and ignores those that lead nowhere", async () => {
    await withFolder({ "real/a.py": "a" }, async (folder) => {
      await symlink(join(folder, "real/a.py"), join(folder, "real/link.py"));
      await symlink(join(folder, "real"), join(folder, "real/loop"));
      await symlink(join(folder, "nowhere"), join(folder, "real/broken.py"));
      assert.deepEqual(await namesOf(folder, "real"), ["real/a.py", "real/link.py"]);
    });
  });

  it("reads a file of any extension when it is named, one row a file", async () => {
    const code = "\u{feff}line one\r\nline two\r\n";
    await withFolder({ "notes.unknown": code, "blank.py": " \n", "x.py": "x\n" }, async (folder) => {
      const sources = ["notes.unknown", "blank.py", "x.py"].map((name) => join(folder, name));
      assert.deepEqual(textsOf(await streamOf(sources, WIDE)), ["line one\r\nline two\r\n", "x\n"]);
    });
  });

  it("leaves binary files out of folders and globs, and refuses one that is named", async () => {
    const files = { "movie.ts": Buffer.from([0x47, 0, 1]), "code.ts": "let x;" };
    await withFolder(files, async (folder) => {
      assert.deepEqual(textsOf(await streamOf([folder], WIDE)), ["let x;"]);
      assert.deepEqual(textsOf(await streamOf([join(folder, "*.ts")], WIDE)), ["let x;"]);
      await assert.rejects(open(join(folder, "movie.ts")), {
        code: "invalid_argument",
        message: /movie\.ts is a binary/,
      });
    });
  });

  it("names the source that matches nothing", async () => {
    await withFolder({ "a/picture.png": "x" }, async (folder) => {
      const refused = (source: string) => ({ code: "not_found", message: new RegExp(source.replace("*", "\\*")) });
      await assert.rejects(open(join(folder, "missing.jsonl")), refused("missing.jsonl"));
      await assert.rejects(open(join(folder, "*.py")), refused("*.py"));
      await assert.rejects(open(join(folder, "a")), refused("a has no source or text files"));
      await assert.rejects(open(join(folder, "a/picture.png/b.txt")), refused("b.txt"));
      await assert.rejects(open(""), { code: "not_found" });
      await assert.rejects(open("synthetic", join(folder, "missing")), refused("missing"));
      await assert.rejects(open(), { code: "invalid_argument", message: /no data set is given/ });
    });
  });

  it("refuses kinds of data that it would misread", async () => {
    await withFolder({ "rows.xlsx": "PK", "rows.tar.gz": "", "rows.parquet.zst": "" }, async (folder) => {
      const refused = {
        code: "invalid_argument",
        message: /rows\.[\w.]+: files of this kind are not supported.*\.jsonl/,
      };
      await assert.rejects(open(join(folder, "rows.xlsx")), refused);
      await assert.rejects(open(join(folder, "rows.tar.gz")), refused);
      await assert.rejects(open(join(folder, "*.zst")), refused);
      await assert.rejects(open("/dev/null"), { code: "invalid_argument", message: /neither a file nor a folder/ });
    });
  });

  it("has two built-in samples", async () => {
    const texts = textsOf(await streamOf(["synthetic"], WIDE));
    assert.equal(texts.length, 2);
    assert.ok(texts.every((text) => text.length > 100 && text.endsWith("\n")));
    assert.equal((await open("synthetic")).bytesTotal, texts.join("").length);
  });

  it("hashes names, sizes and times", async () => {
    await withFolder({ "a.txt": "one\n", "b.txt": "two\n" }, async (folder) => {
      const [a, b] = [join(folder, "a.txt"), join(folder, "b.txt")];
      const hash = async (...sources: string[]) => (await open(...sources)).hash;
      const before = await hash(a, b);
      assert.equal(await hash(a, b), before);
      assert.match(before, /^[0-9a-f]{64}$/);
      const others = [await hash(b, a), await hash(a)];
      await utimes(a, 1, 1);
      others.push(await hash(a, b));
      await writeFile(a, "longer\n");
      await utimes(a, 1, 1);
      others.push(await hash(a, b));
      assert.equal(new Set([before, ...others]).size, 5);
    });
  });
});
