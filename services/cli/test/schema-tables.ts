/** The tables of fields in docs/cli.md, and documents against them. */
import assert from "node:assert/strict";

export interface Field {
  /** Such as "services[].name" or "error?.code": "?" marks what may be absent. */
  path: string;
  type: string;
  /** It was met in a document. */
  seen: boolean;
}

/** By heading. */
export function schemasOf(document: string): Map<string, Field[]> {
  const schemas = new Map<string, Field[]>();
  for (const section of document.split(/^### /m).slice(1)) {
    const fields = [...section.matchAll(/^\| `([^`]+)` +\| ([\w ]+?) +\|/gm)];
    const name = section.slice(0, section.indexOf("\n"));
    if (fields.length > 0) {
      schemas.set(
        name,
        fields.map(([, path = "", type = ""]) => ({ path, type, seen: false })),
      );
    }
  }
  assert.ok(schemas.size > 10, "there are no tables of fields");
  return schemas;
}

/** What is in a document and not in its schema, or the other way round. */
export function violations(schemas: ReadonlyMap<string, Field[]>, name: string, document: unknown): string[] {
  const fields = schemas.get(name) ?? assert.fail(`there is no schema ${name}`);
  return objectViolations(schemas, fields, document, name);
}

type Schemas = ReadonlyMap<string, Field[]>;

/** `fields`: of this object, by paths that begin in it. */
function objectViolations(schemas: Schemas, fields: readonly Field[], object: unknown, at: string): string[] {
  if (typeof object !== "object" || object === null) return [`${at} is not an object`];
  const heads = new Map<string, { isOptional: boolean; isList: boolean; inner: Field[]; own?: Field }>();
  for (const field of fields) {
    const [, head = "", list = "", optional = "", rest] = /^(\w+)(\[\])?(\?)?(?:\.(.*))?$/.exec(field.path) ?? [];
    const known = heads.get(head) ?? { isOptional: optional !== "", isList: list !== "", inner: [] };
    if (rest === undefined) known.own = field;
    else known.inner.push({ ...field, path: rest });
    heads.set(head, known);
    if (head in object) field.seen = true;
  }
  const found = Object.entries(object).flatMap(([key, value]) => {
    const head = heads.get(key);
    const place = `${at}.${key}`;
    if (!head) return [`${place} is not documented`];
    if (head.own) return typeViolations(schemas, head.own.type, value, place);
    if (!head.isList) return objectViolations(schemas, head.inner, value, place);
    if (!Array.isArray(value)) return [`${place} is not a list`];
    return value.flatMap((one, i) => objectViolations(schemas, head.inner, one, `${place}[${i}]`));
  });
  const missing = [...heads].filter(([key, { isOptional }]) => !isOptional && !(key in object));
  return [...found, ...missing.map(([key]) => `${at}.${key} is missing`)];
}

function typeViolations(schemas: Schemas, type: string, value: unknown, at: string): string[] {
  if (type === "any") return [];
  const [, inner] = /^list of (\w+)$/.exec(type) ?? [];
  if (inner) {
    if (!Array.isArray(value)) return [`${at} is not a list`];
    return value.flatMap((one, i) => typeViolations(schemas, inner, one, `${at}[${i}]`));
  }
  if (schemas.has(type)) return violations(schemas, type, value);
  if (type === "map") return typeof value === "object" && value !== null ? [] : [`${at} is not a map`];
  if (value === null && type === "number") return [];
  return typeof value === type ? [] : [`${at} is not a ${type}`];
}
