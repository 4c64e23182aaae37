/** Whatever a template does, a rendering ends within its limits (L1 to L5 of limits.ts) and reaches nothing else. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DEFAULT_LIMITS, Template, TemplateError, TemplateLimitError } from "../src/index.js";

const LIMITS = { steps: 200_000, madeChars: 2 ** 22, textChars: 2 ** 20 };
const MESSAGES = [
  { role: "user", content: "x".repeat(100) },
  { role: "assistant", content: "y" },
];
const render = (template: string, limits = LIMITS) =>
  new Template(template).render({ messages: MESSAGES }, { limits, now: new Date() }).text;
const nested = (open: string, close: string, count: number) => open.repeat(count) + close.repeat(count);

describe("a rendering is bounded", () => {
  for (const template of [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set ns = namespace(x='x') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='x') %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x == ns.x|list }}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
    "{% set ns = namespace(x=9) %}{% for i in range(999) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{{ 9 ** 999999999 }}",
    "{{ 2 ** 100000 }}",
    "{{ 'x' * 999999999999 }}",
    "{{ [1] * 999999999999 }}",
    "{{ 'x'.center(999999999) }}",
    "{{ 'x'.zfill(99999999999) }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%.999999999f' % 1.5 }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:.999999999f}'.format(1.5) }}",
    "{{ 'a\\tb'.expandtabs(999999999) }}",
    "{{ ('x' * 9999).replace('', 'y' * 9999) }}",
    "{{ ('x' * 9999)|replace('x', 'y' * 9999) }}",
    "{{ ('x' * 9999)|list|join('y' * 9999) }}",
    "{{ ('x\\n' * 9999)|indent(9999) }}",
    "{{ [1]|batch(999999999, 0)|list }}",
    "{{ [1]|slice(999999999)|list|length }}",
    "{{ range(99999)|map('string')|map('center', 9999)|list }}",
    "{{ [[1, 2]] | tojson(indent=999999) }}",
    "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    nested("{% if true %}", "{% endif %}", 10_000),
    nested("{{ (", ") }}", 1).replace("(", "(".repeat(10_000)).replace(")", ")".repeat(10_000)),
    `{{ ${"not ".repeat(10_000)}1 }}`,
    `{{ ${"-".repeat(10_000)}1 }}`,
    `{{ ${"[".repeat(10_000)}${"]".repeat(10_000)} }}`,
    `{{ 1${"9".repeat(10_000)} }}`,
  ]) {
    it(template.slice(0, 100), () => {
      assert.throws(() => render(template), TemplateError);
    });
  }

  it("by default too", () => {
    const endless = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}";
    assert.throws(() => render(endless, DEFAULT_LIMITS), TemplateLimitError);
  });

  it("long chains of operators do not nest", () => {
    assert.equal(render(`{{ ${"1 + ".repeat(500)}1 }}`), "501");
    assert.equal(render(`{{ 'x'${"|upper".repeat(500)} }}`), "X");
  });
});

describe("a template reaches nothing but its variables", () => {
  for (const template of [
    "{{ messages.constructor }}",
    "{{ ''.constructor }}{{ messages.__proto__ }}{{ messages['__proto__'] }}{{ {}.constructor }}{{ {}['__proto__'] }}",
    "{{ range.constructor }}{{ process }}{{ globalThis }}{{ dict.prototype }}{{ namespace.call }}",
    "{{ messages[0].toString }}{{ 'a'.valueOf }}{{ 1 .toFixed }}{{ messages.length }}{{ 'abc'.length }}",
  ]) {
    it(template, () => assert.equal(render(template), ""));
  }

  it("and changes none of them", () => {
    for (const change of [
      "messages.append(1)",
      "messages[0].update(x=1)",
      "messages[0].pop('role')",
      "messages.clear()",
    ]) {
      assert.throws(() => render(`{{ ${change} }}`), TemplateError);
    }
    assert.deepEqual(MESSAGES, [
      { role: "user", content: "x".repeat(100) },
      { role: "assistant", content: "y" },
    ]);
  });
});

describe("anything that is put together", () => {
  const word = fc.constantFrom(
    ..."{{ }} {% %} {# #} {%- -%} if endif else elif for in endfor set endset macro endmacro call endcall filter".split(
      " ",
    ),
    ..."endfilter raw endraw generation endgeneration break continue recursive with endwith not and or is | . , : ~".split(
      " ",
    ),
    ..."( ) [ ] { } = == < + - * / // % ** 'a' \"b\" 0 1 9 2.5 1e300 none true x messages loop ns namespace range".split(
      " ",
    ),
    ..."dict caller join list map select sort tojson trim length replace batch format upper center items first".split(
      " ",
    ),
    " ",
    "\n",
    "😀",
    "\\",
    "{{ messages }}",
    "{{ x.y }}",
    "{{ 'x' * 99 }}",
    "{% for x in range(9) %}",
    "{% endfor %}",
    "{% macro m(x) %}",
    "{{ m(1) }}",
  );

  it("renders, or is refused by a TemplateError, within the limits", () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (words) => {
        const template = words.join(" ");
        try {
          assert.ok(render(template, { steps: 20_000, madeChars: 2 ** 20, textChars: 2 ** 18 }).length <= 2 ** 18);
        } catch (error) {
          assert.ok(error instanceof TemplateError, String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("as an expression", () => {
    const leaf = fc.constantFrom(
      "1",
      "-7",
      "2.5",
      "'ab'",
      "[3, 1]",
      "{'a': 1}",
      "none",
      "true",
      "messages",
      "nope",
      "(1, 'x')",
      "range(3)",
    );
    const filters =
      "upper|list|length|sort|first|last|tojson|string|int|float|sum|reverse|join|unique|items|trim|title|abs|max";
    const { expression } = fc.letrec<{ expression: string }>((tie) => ({
      expression: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc
          .tuple(
            tie("expression"),
            fc.constantFrom("+", "-", "*", "/", "//", "%", "**", "~", "<", "==", "in", "and"),
            tie("expression"),
          )
          .map(([left, operator, right]) => `(${left} ${operator} ${right})`),
        fc
          .tuple(tie("expression"), fc.constantFrom(...filters.split("|")))
          .map(([input, filter]) => `(${input})|${filter}`),
        fc.tuple(tie("expression"), tie("expression")).map(([object, key]) => `(${object})[${key}]`),
        fc.tuple(tie("expression"), tie("expression")).map(([object, key]) => `(${object})[${key}:]`),
      ),
    }));
    fc.assert(
      fc.property(expression, (source) => {
        try {
          render(`{{ ${source} }}`, { steps: 20_000, madeChars: 2 ** 20, textChars: 2 ** 18 });
        } catch (error) {
          assert.ok(error instanceof TemplateError, `${source}: ${String(error)}`);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
