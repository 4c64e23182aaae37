/** Chats are read and rendered whole: every key of a message, tools, documents and template variables, in TRL's columns. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ByteEncoder, EOS, streamOf, withFolder } from "./helpers.js";

class TemplateEncoder extends ByteEncoder {
  readonly chatTemplate: { template: string; toolTemplate?: string; specialTokens: Record<string, string> };

  constructor(template: string, toolTemplate?: string) {
    super();
    this.chatTemplate = { template, ...(toolTemplate !== undefined && { toolTemplate }), specialTokens: {} };
  }
}

/** The text of a file's rows, the counted parts in brackets. */
async function rendered(rows: string | object[], encoder: TemplateEncoder, recipe: object = {}): Promise<string[]> {
  const content = typeof rows === "string" ? rows : rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  return withFolder({ "d.jsonl": content }, async (folder) => {
    const options = { messagesColumn: "messages", maxLength: 1000, batchSize: 1, ...recipe };
    const microBatches = await streamOf([folder], options, {}, encoder);
    return microBatches.map(({ ids, lengths, targetMask }) => {
      let text = "";
      for (let at = 0, counted = 0; at < lengths[0]!; at++) {
        const counts = targetMask.length > 0 ? targetMask[at]! : Number(at > 0);
        if (counts !== counted) text += counts ? "[" : "]";
        counted = counts;
        text += ids[at] === EOS ? "$" : String.fromCharCode(ids[at]!);
        if (at === lengths[0]! - 1 && counted) text += "]";
      }
      return text;
    });
  });
}

const EVERYTHING =
  "{{ tools|tojson }}{{ documents|tojson }}{{ style }};{% for m in messages %}{{ m|tojson }};{% endfor %}";
const SIMPLE =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: unknown, more = {}) => ({ role: "assistant", content, ...more });

describe("a chat", () => {
  it("has every key of its messages but those that are null", async () => {
    const call = { id: "1", function: { name: "f", arguments: { a: null } } };
    const messages = [user("q"), assistant(null, { tool_calls: [call], name: "n" }), { role: "tool", content: "r" }];
    const [text] = await rendered([{ messages }], new TemplateEncoder(EVERYTHING));
    assert.equal(
      text,
      'nullnull;{"role": "user", "content": "q"};[{"role": "assistant", "tool_calls": [{"id": "1", "function": ' +
        '{"name": "f", "arguments": {"a": null}}}], "name": "n"};]{"role": "tool", "content": "r"};',
    );
  });

  it("has its row's tools, as a list or as JSON of one, documents and variables", async () => {
    const messages = [user("q"), assistant("a")];
    const rows = [
      { messages, tools: [{ name: "f" }], documents: [{ text: "d" }], chat_template_kwargs: { style: "s" } },
      { messages, tools: '[{"name": "f", "p": 1.0}]', documents: null, chat_template_kwargs: null },
      { messages, tools: [], chat_template_kwargs: { tools: [{ name: "g" }] } },
    ];
    const heads = (await rendered(rows, new TemplateEncoder(EVERYTHING))).map((text) => text.split(";")[0]);
    assert.deepEqual(heads, [
      '[{"name": "f"}][{"text": "d"}]s',
      '[{"name": "f", "p": 1.0}]null',
      '[{"name": "g"}]null',
    ]);
  });

  it("with tools is rendered by the template that is named for them", async () => {
    const rows = [
      { messages: [user("q"), assistant("a")] },
      { messages: [user("q"), assistant("a")], tools: [{ name: "f" }] },
    ];
    const texts = await rendered(rows, new TemplateEncoder(SIMPLE, `with tools: ${SIMPLE}`));
    assert.deepEqual(texts, ["<user>q<assistant>[a]", "with tools: <user>q<assistant>[a]"]);
  });

  it("keeps its numbers' kinds and sizes, also in a shuffle block that waits on disk", async () => {
    const line =
      '{"messages": [{"role": "user", "content": "q", "n": [1.0, 1, 12345678901234567890, 1e2, 0.5, -0.0]}]}\n';
    const template = "{% for m in messages %}{{ m.n }}{{ m.n|tojson }}{% endfor %}";
    const expected = "[1.0, 1, 12345678901234567890, 100.0, 0.5, -0.0]";
    for (const recipe of [{}, { shuffleBuffer: 2 }]) {
      const [text] = await rendered(line, new TemplateEncoder(template), recipe);
      assert.equal(text, expected + expected);
    }
  });

  it("may have from and value instead of role and content", async () => {
    const conversations = [
      { from: "user", value: "q" },
      { from: "assistant", value: "a" },
    ];
    const [text] = await rendered([{ conversations }], new TemplateEncoder(SIMPLE), {
      messagesColumn: "conversations",
    });
    assert.equal(text, "<user>q<assistant>[a]");
  });

  it("as prompt and completion counts from where their ids part", async () => {
    const recipe = { messagesColumn: "", promptColumn: "prompt", completionColumn: "completion" };
    const row = { prompt: [user("q")], completion: [assistant("a"), user("more"), assistant("b")] };
    assert.deepEqual(await rendered([row], new TemplateEncoder(SIMPLE), { ...recipe, appendEos: false }), [
      "<user>q<assistant>[a<user>more<assistant>b]",
    ]);
    // A chat ends as its template says, with append_eos, too: TRL 1.16 adds none to conversational rows.
    const [ended] = await rendered([row], new TemplateEncoder(SIMPLE), { ...recipe, appendEos: true });
    assert.equal(ended, "<user>q<assistant>[a<user>more<assistant>b]");
    const opened = `${SIMPLE}{% if add_generation_prompt %}<think>{% endif %}`;
    const [text] = await rendered([row], new TemplateEncoder(opened), { ...recipe, appendEos: false });
    assert.equal(text, "<user>q<assistant>[a<user>more<assistant>b]");
  });

  it("that says something else is refused by name", async () => {
    const messages = [user("q"), assistant("a")];
    const refused = (row: object, message: RegExp) =>
      assert.rejects(rendered([row], new TemplateEncoder(SIMPLE)), { code: "invalid_argument", message });
    await refused({ messages, tools: "no JSON" }, /d\.jsonl:1: column "tools" holds a text that is not JSON/);
    await refused({ messages, tools: [1] }, /column "tools" holds an array; it must hold a list of objects/);
    await refused({ messages, chat_template_kwargs: [] }, /"chat_template_kwargs" holds an array/);
    await refused(
      { messages, chat_template_kwargs: { chat_template: "x" } },
      /chat_template_kwargs has a chat_template/,
    );
    await refused({ messages: [] }, /has no messages/);
  });
});

describe("a long chat", () => {
  it("is encoded twice at most, and only as far as max_length reaches", async () => {
    const messages = Array.from({ length: 400 }, (_, index) => (index % 2 ? assistant : user)(`words ${index}`));
    const textLength = messages.reduce((sum, { role, content }) => sum + role.length + 2 + String(content).length, 0);
    const encoder = new TemplateEncoder(SIMPLE);
    const [whole] = await rendered([{ messages }], encoder, { maxLength: 100_000 });
    assert.equal(whole!.split("[").length - 1, 200);
    const sent = (texts: readonly string[]) => texts.reduce((sum, text) => sum + text.length, 0);
    assert.ok(sent(encoder.texts) <= 2 * textLength);
    const cut = new TemplateEncoder(SIMPLE);
    await rendered([{ messages }], cut, { maxLength: 50 });
    assert.ok(sent(cut.texts) < 1.6 * textLength);
  });

  it("finds borders that a token reaches over", async () => {
    /** Ids of pairs of letters where there are two, so that tokens reach over borders. */
    class PairEncoder extends TemplateEncoder {
      override async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
        return texts.map((text) => {
          const pieces = text.match(/[a-z]{1,2}|[^a-z]/g) ?? [];
          const limit = maxTokens === 0 ? pieces.length : maxTokens;
          const ids = pieces.map((piece) => piece.charCodeAt(0) + (piece.length > 1 ? 128 * piece.charCodeAt(1) : 0));
          return Int32Array.from(ids.slice(0, limit));
        });
      }
    }
    const template = "{% for m in messages %}{{ 'x' if m.role == 'user' else '' }}{{ m.content }}{% endfor %}";
    const messages = [user("a b"), assistant("c"), user("d"), assistant("e-f"), user("g"), assistant("h")];
    await withFolder({ "d.jsonl": JSON.stringify({ messages }) }, async (folder) => {
      const recipe = { messagesColumn: "messages", maxLength: 100, batchSize: 1 };
      const [microBatch] = await streamOf([folder], recipe, {}, new PairEncoder(template));
      const tokens = Array.from(microBatch!.ids.subarray(0, microBatch!.lengths[0]), (id) =>
        String.fromCharCode(...(id >= 128 ? [id % 128, id >> 7] : [id])),
      );
      assert.deepEqual(tokens, ["xa", " ", "bc", "xd", "e", "-", "fx", "gh"]);
      assert.deepEqual(Array.from(microBatch!.targetMask.subarray(0, tokens.length)), [0, 0, 1, 0, 1, 1, 1, 1]);
    });
  });
});
