/**
 * Which tokens count in the loss: completions, and the assistant's turns of chats, as transformers'
 * apply_chat_template marks them (fixtures/make_chats.py).
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ChatTemplate, type ChatMessage, type MicroBatch } from "../src/index.js";
import { ByteEncoder, EOS, HfEncoder, streamOf, withFolder } from "./helpers.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));
const NO_TOKENS = { specialTokens: {} };

interface ChatCase {
  tokenizer: string;
  template: string;
  specialTokens: Record<string, string>;
  messages: ChatMessage[];
  text: string;
  ids: number[];
  mask: number[];
}

const cases = JSON.parse(await readFile(join(FIXTURES, "chats.json"), "utf8")) as ChatCase[];

const hfEncoder = ({ tokenizer, template, specialTokens }: ChatCase) =>
  new HfEncoder(tokenizer, template, specialTokens);

/** ByteEncoder with a chat template. */
class TemplateEncoder extends ByteEncoder {
  readonly chatTemplate: { template: string; specialTokens: Record<string, string> };

  constructor(template: string) {
    super();
    this.chatTemplate = { template, ...NO_TOKENS };
  }
}

const jsonLines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Mask and ids of each row of micro-batches; without a mask all but the first count. */
function maskedRows({ ids, lengths, rowLength, targetMask }: MicroBatch): [id: number, counts: number][][] {
  return lengths.map((length, row) =>
    Array.from({ length }, (_, position) => {
      const at = row * rowLength + position;
      return [ids[at]!, targetMask.length > 0 ? targetMask[at]! : Number(position > 0)];
    }),
  );
}

/** The counted text of byte ids, with "$" for the end of a sequence. */
const countedText = (row: [id: number, counts: number][]) =>
  Buffer.from(row.filter(([, counts]) => counts === 1).map(([id]) => (id === EOS ? 0x24 : id))).toString();

describe("chats", () => {
  assert.ok(cases.length >= 16);
  for (const [index, chat] of cases.entries()) {
    it(`are rendered, encoded and counted as by transformers (${chat.tokenizer}, ${index})`, async () => {
      assert.equal(new ChatTemplate(chat).render({ messages: chat.messages }).text, chat.text);
      await withFolder({ "d.jsonl": jsonLines([{ messages: chat.messages }]) }, async (folder) => {
        const recipe = { messagesColumn: "messages", maxLength: 1000, batchSize: 1 };
        const [microBatch] = await streamOf([folder], recipe, {}, hfEncoder(chat));
        const expected = chat.ids.map((id, at) => [id, at === 0 ? 0 : chat.mask[at]!]);
        assert.deepEqual(maskedRows(microBatch!)[0], expected);
        assert.equal(
          microBatch!.targetTokens,
          expected.reduce((sum, [, counts]) => sum + counts!, 0),
        );
        // Cut in the middle, the same ids and mask are left.
        const maxLength = Math.ceil(chat.ids.length / 2);
        const [cut] = await streamOf([folder], { ...recipe, maxLength }, {}, hfEncoder(chat));
        assert.deepEqual(maskedRows(cut!)[0], expected.slice(0, maxLength));
      });
    });
  }

  const turns = (...contents: string[]) =>
    contents.map((content, index) => ({ role: index % 2 === 0 ? "user" : "assistant", content }));
  const streamOfChat = (template: string, messages: unknown, recipe = {}) =>
    withFolder({ "d.jsonl": jsonLines([{ messages }, { messages: turns("q", "end") }]) }, async (folder) =>
      streamOf([folder], { messagesColumn: "messages", maxLength: 200, ...recipe }, {}, new TemplateEncoder(template)),
    );
  const PROMPT = "{% if add_generation_prompt %}<assistant>{% endif %}";
  const SIMPLE = `{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}${PROMPT}`;

  it("packed into blocks keep their masks; what splits them does not count", async () => {
    const rows = (await streamOfChat(SIMPLE, turns("hi", "yes"), { packing: true })).flatMap(maskedRows);
    assert.deepEqual(rows.map(countedText), ["yesend"]);
  });

  it("without a template, or in text files, are refused", async () => {
    await withFolder({ "d.jsonl": jsonLines([{ messages: turns("a", "b") }]), "e.txt": "x" }, async (folder) => {
      const recipe = { messagesColumn: "messages" };
      const without = { code: "failed_precondition", message: /no chat template/ };
      await assert.rejects(streamOf([join(folder, "d.jsonl")], recipe), without);
      const noColumns = { code: "invalid_argument", message: /e\.txt: plain text has no columns "messages"/ };
      await assert.rejects(streamOf([join(folder, "e.txt")], recipe), noColumns);
    });
  });

  it("that are invalid are refused, naming file and line", async () => {
    const refused = (message: RegExp) => ({ code: "invalid_argument", message });
    await assert.rejects(streamOfChat(SIMPLE, "text"), refused(/d\.jsonl:1: column "messages" holds a string/));
    await assert.rejects(streamOfChat(SIMPLE, [{ role: "user" }]), refused(/d\.jsonl:1: message 1 of column/));
    await assert.rejects(streamOfChat(SIMPLE, [null]), refused(/message 1/));
  });

  it("whose template changes earlier turns count turn by turn", async () => {
    const template = `{% for m in messages %}<{{ m.role }}>{% if loop.last %}last: {% endif %}{{ m.content }}{% endfor %}${PROMPT}`;
    const [row] = (await streamOfChat(template, turns("a", "b", "c", "d"))).flatMap(maskedRows);
    assert.equal(countedText(row!), "blast: d");
  });

  it("whose template does not loop over the messages count by what a turn adds, or are refused", async () => {
    const whole = "{{ messages|map(attribute='content')|join('|') }}{% if add_generation_prompt %}|{% endif %}";
    const [row] = (await streamOfChat(whole, turns("a", "b", "c", "d"))).flatMap(maskedRows);
    assert.equal(countedText(row!), "bd");
    const refused = { code: "failed_precondition", message: /renders a turn differently when others follow/ };
    await assert.rejects(streamOfChat(`{{ messages|length }}${whole}`, turns("a", "b", "c", "d")), refused);
  });

  it("count their last turn alone when asked to", async () => {
    const [row] = (await streamOfChat(SIMPLE, turns("a", "b", "c", "d"), { trainOn: "last" })).flatMap(maskedRows);
    assert.equal(countedText(row!), "d");
    const marked = "{% for m in messages %}{{ m.role }}{% generation %}{{ m.content }};{% endgeneration %}{% endfor %}";
    const [other] = (await streamOfChat(marked, turns("a", "b", "c", "d"), { trainOn: "last" })).flatMap(maskedRows);
    assert.equal(countedText(other!), "d;");
  });
});

describe("a hostile chat template", () => {
  const render = (template: string) =>
    new ChatTemplate({ template, ...NO_TOKENS }).render({ messages: [{ role: "user", content: "x" }] }).text;
  const refused = (error: unknown) => {
    assert.ok(error instanceof Error && "code" in error, String(error));
    assert.ok(error.code === "invalid_argument" || error.code === "failed_precondition", String(error));
    return true;
  };

  for (const template of [
    "{{ messages.constructor.constructor('return process')().exit(3) }}",
    "{{ ''.constructor.constructor('throw 1')() }}",
    "{{ range.constructor('return process')() }}",
    "{{ process.exit(3) }}",
    "{% include '/etc/passwd' %}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% if",
    "{{ raise_exception('no') }}",
    "x".repeat(300_000),
  ]) {
    it(`reaches nothing: ${template.slice(0, 50)}`, () => {
      assert.throws(() => render(template), refused);
    });
  }

  it("sees no prototype of what it is given", () => {
    assert.equal(render("{{ messages.__proto__ }}{{ messages[0].constructor }}{{ messages[0].role }}"), "user");
  });
});

describe("prompts and completions", () => {
  const rows = [
    { p: "ask:", c: "yes", content: "t" },
    { p: "", c: "all", content: "t" },
    { p: "long question", c: "", content: "t" },
  ];
  const COLUMNS = { promptColumn: "p", completionColumn: "c", maxLength: 100 };
  const counted = (recipe: object) =>
    withFolder({ "d.jsonl": jsonLines(rows) }, async (folder) => {
      const all = await streamOf([folder], { ...COLUMNS, ...recipe });
      const counts = all.flatMap(maskedRows).map(countedText);
      assert.equal(
        all.reduce((sum, { targetTokens }) => sum + targetTokens, 0),
        counts.join("").length,
      );
      return counts;
    });

  it("count the completion and the end of the sequence", async () => {
    // A row's first token is not a target.
    assert.deepEqual(await counted({}), ["yes$", "ll$", "$"]);
    assert.deepEqual(await counted({ appendEos: false }), ["yes", "ll", ""]);
  });

  it("count what is left after a cut, and what is in a block", async () => {
    assert.deepEqual(await counted({ maxLength: 6 }), ["ye", "ll$", ""]);
    assert.deepEqual(await counted({ packing: true }), ["yes$all$$"]);
    assert.deepEqual(await counted({ packing: true, maxLength: 7 }), ["yes", "all$", "", "$"]);
  });

  it("begin where the ids of the prompt and of the whole diverge, as TRL decides a token that reaches over the border", async () => {
    type Case = [tokenizer: string, prompt: string, completion: string, tokens: number, promptTokens: number];
    const { cases: given } = JSON.parse(await readFile(join(FIXTURES, "prompts.json"), "utf8")) as { cases: Case[] };
    for (const name of ["qwen2", "llama3"]) {
      const ofTokenizer = given.filter(([tokenizer]) => tokenizer === name);
      const pairs = jsonLines(ofTokenizer.map(([, p, c]) => ({ p, c })));
      await withFolder({ "d.jsonl": pairs }, async (folder) => {
        const found = (await streamOf([folder], COLUMNS, {}, new HfEncoder(name, "", {}))).flatMap(maskedRows);
        for (const [index, [, prompt, completion, tokens, promptTokens]] of ofTokenizer.entries()) {
          // A row's first token is not a target; the last is the end of the sequence.
          const expected = Array.from({ length: tokens + 1 }, (_, at) => Number(at > 0 && at >= promptTokens));
          const counts = found[index]!.map(([, counts]) => counts);
          assert.deepEqual(counts, expected, JSON.stringify([name, prompt, completion]));
        }
      });
    }
  });

  it("leave the mask empty where every target counts", async () => {
    await withFolder({ "d.jsonl": jsonLines(rows.slice(1, 2)) }, async (folder) => {
      const [microBatch] = await streamOf([folder], COLUMNS);
      assert.equal(microBatch!.targetMask.length, 0);
      assert.equal(microBatch!.targetTokens, 3);
    });
  });
});
