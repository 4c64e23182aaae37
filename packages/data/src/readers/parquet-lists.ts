/**
 * Lists of two levels, which Avro's and older Hive's writers make: the repeated group is the element itself, not a wrapper around
 * it (parquet-format, LogicalTypes.md, "Backward-compatibility rules"). hyparquet 1.31 takes it for a wrapper, or for an ordinary
 * group with a repeated field.
 */
import type { SchemaTree } from "hyparquet";

type Repair = (value: unknown) => unknown;

/** What makes hyparquet's value of each top-level column the value that was written; columns that need nothing are left out. */
export function listRepairs(schema: SchemaTree): Map<string, Repair> {
  const repairs = new Map<string, Repair>();
  for (const column of schema.children) {
    const repair = repairOf(column);
    if (repair) repairs.set(column.element.name, repair);
  }
  return repairs;
}

function repairOf({ element, children }: SchemaTree): Repair | undefined {
  const [repeated] = children;
  const isList = element.converted_type === "LIST" || element.logical_type?.type === "LIST";
  if (!isList || children.length !== 1 || repeated?.element.repetition_type !== "REPEATED")
    return fieldsRepair(children);
  const { name } = repeated.element;
  const ofElement = fieldsRepair(repeated.children) ?? ((value) => value);
  if (repeated.children.length > 1)
    return (value) => eachOf((value as Record<string, unknown> | null)?.[name], ofElement);
  const [field] = repeated.children;
  if (field === undefined) return undefined;
  if (name === "array" || name === `${element.name}_tuple`) {
    return (value) => eachOf(value, (inner) => ofElement({ [field.element.name]: inner }));
  }
  const repair = repairOf(field);
  return repair && ((value) => eachOf(value, repair));
}

function fieldsRepair(fields: readonly SchemaTree[]): Repair | undefined {
  const repairs = fields.flatMap((field) => {
    const repair = repairOf(field);
    return repair ? [[field.element.name, repair] as const] : [];
  });
  if (repairs.length === 0) return undefined;
  return (value) => {
    if (typeof value !== "object" || value === null) return value;
    const fields = value as Record<string, unknown>;
    return { ...fields, ...Object.fromEntries(repairs.map(([name, repair]) => [name, repair(fields[name])])) };
  };
}

function eachOf(value: unknown, repair: Repair): unknown {
  return Array.isArray(value) ? value.map(repair) : value;
}
