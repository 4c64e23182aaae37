/**
 * The engine renders what Jinja2 renders in transformers' environment, and refuses what it refuses: snippets
 * (fixtures/make_snippets.py).
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Template, TemplateError } from "../src/index.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));

interface Case {
  template: string;
  text?: string;
  error?: true;
}

const read = async (name: string) => JSON.parse(await readFile(join(FIXTURES, name), "utf8")) as unknown;

describe("snippets", async () => {
  const { variables, cases } = (await read("snippets.json")) as { variables: Record<string, unknown>; cases: Case[] };
  assert.ok(cases.length >= 400);
  for (const { template, text, error } of cases) {
    it(JSON.stringify(template).slice(0, 100), () => {
      const render = () => new Template(template).render(variables, { now: new Date() }).text;
      if (error) assert.throws(render, TemplateError);
      else assert.equal(render(), text);
    });
  }
});
