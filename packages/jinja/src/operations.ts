/** Python's operators. */
import { TemplateError } from "./errors.js";
import { MAX_DEPTH, MAX_INT_BITS, tooDeep, type Meter } from "./limits.js";
import { bounded } from "./numbers.js";
import { formatPercent } from "./percent-format.js";
import { compareText, lengthOf } from "./python-text.js";
import { Dict, DictView, isNumber, Iter, Range, Tuple, typeName, Undefined, type List, type Value } from "./values.js";

export type ArithmeticOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";

export function iterate(value: Value): Iterable<Value> {
  if (typeof value === "string" || Array.isArray(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof DictView || value instanceof Iter || value instanceof Range) return value;
  if (value instanceof Undefined) return [];
  throw new TemplateError(`'${typeName(value)}' object is not iterable`);
}

/** list(value), counted. */
export function listOf(value: Value, meter: Meter): List {
  const list: List = [];
  for (const item of iterate(value)) {
    meter.step();
    list.push(item);
  }
  return list;
}

/** len(value). */
export function sizeOf(value: Value): number {
  if (typeof value === "string") return lengthOf(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof DictView) return value.dict.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
}

export function equals(one: Value, other: Value, meter: Meter, depth = 0): boolean {
  if (one === other) return true;
  if (depth > MAX_DEPTH) throw tooDeep();
  if (isNumber(one) && isNumber(other)) return compareNumbers(one, other) === 0;
  if (typeof one === "string" || typeof other === "string") return false;
  meter.step();
  const [left, right] = [sequenceOf(one), sequenceOf(other)];
  if (left && right) {
    if (Array.isArray(one) !== Array.isArray(other) || left.length !== right.length) return false;
    return left.every((item, index) => equals(item, right[index]!, meter, depth + 1));
  }
  if (one instanceof Dict && other instanceof Dict) {
    if (one.size !== other.size) return false;
    for (const [key, value] of one.entries()) {
      const there = other.get(key);
      if (there === undefined || !equals(value, there, meter, depth + 1)) return false;
    }
    return true;
  }
  if (one instanceof Range && other instanceof Range) {
    if (one.length !== other.length || one.length === 0) return one.length === other.length;
    return one.start === other.start && (one.length === 1 || one.step === other.step);
  }
  return one instanceof Undefined && other instanceof Undefined;
}

function sequenceOf(value: Value): List | undefined {
  return Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
}

function compareNumbers(one: boolean | bigint | number, other: boolean | bigint | number): number {
  const [left, right] = [
    typeof one === "boolean" ? Number(one) : one,
    typeof other === "boolean" ? Number(other) : other,
  ];
  return left < right ? -1 : left > right ? 1 : Number.isNaN(Number(left)) || Number.isNaN(Number(right)) ? NaN : 0;
}

/** Less than, equal or greater: below, at or above 0; NaN where neither holds. Errors: for what has no order. */
export function compare(one: Value, other: Value, operator: string, meter: Meter, depth = 0): number {
  if (isNumber(one) && isNumber(other)) return compareNumbers(one, other);
  if (typeof one === "string" && typeof other === "string") return compareText(one, other);
  if (depth > MAX_DEPTH) throw tooDeep();
  const [left, right] = [sequenceOf(one), sequenceOf(other)];
  if (left && right && Array.isArray(one) === Array.isArray(other)) {
    for (let at = 0; at < left.length && at < right.length; at++) {
      meter.step();
      if (!equals(left[at]!, right[at]!, meter)) return compare(left[at]!, right[at]!, operator, meter, depth + 1);
    }
    return left.length - right.length;
  }
  refuseUndefined(one, other);
  throw new TemplateError(
    `'${operator}' not supported between instances of '${typeName(one)}' and '${typeName(other)}'`,
  );
}

/** item in container. */
export function contains(container: Value, item: Value, meter: Meter): boolean {
  if (typeof container === "string") {
    meter.read(container.length);
    if (typeof item === "string") return container.includes(item);
    if (item instanceof Undefined) throw item.fail();
    throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof DictView && container.typeName === "dict_keys") return container.dict.has(item);
  if (container === null || isNumber(container)) {
    throw new TemplateError(`argument of type '${typeName(container)}' is not iterable`);
  }
  for (const candidate of iterate(container)) {
    meter.step();
    if (equals(candidate, item, meter)) return true;
  }
  return false;
}

export function negate(value: Value): Value {
  if (typeof value === "bigint") return -value;
  if (typeof value === "number") return -value;
  if (typeof value === "boolean") return value ? -1n : 0n;
  refuseUndefined(value);
  throw new TemplateError(`bad operand type for unary -: '${typeName(value)}'`);
}

export function plus(value: Value): Value {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (isNumber(value)) return value;
  refuseUndefined(value);
  throw new TemplateError(`bad operand type for unary +: '${typeName(value)}'`);
}

export function arithmetic(operator: ArithmeticOperator, one: Value, other: Value, meter: Meter): Value {
  meter.step();
  if (typeof one === "string" && operator === "+" && typeof other === "string") return joined(one, other, meter);
  refuseUndefined(typeof one === "string" && operator === "%" ? null : other, one);
  if (isNumber(one) && isNumber(other)) return ofNumbers(operator, one, other);
  if (operator === "%" && typeof one === "string") return formatPercent(one, other, meter);
  if (operator === "+" && Array.isArray(one) && Array.isArray(other)) return added(one, other, meter);
  if (operator === "+" && one instanceof Tuple && other instanceof Tuple) {
    return new Tuple(added(one.items, other.items, meter));
  }
  if (operator === "*") {
    const [sequence, times] = typeof one === "bigint" || typeof one === "boolean" ? [other, one] : [one, other];
    if (typeof times === "bigint" || typeof times === "boolean") {
      const repeated = repeat(sequence, Math.max(0, Number(times)), meter);
      if (repeated !== undefined) return repeated;
    }
  }
  throw new TemplateError(`unsupported operand type(s) for ${operator}: '${typeName(one)}' and '${typeName(other)}'`);
}

function joined(one: string, other: string, meter: Meter): string {
  // A text made so costs nothing until it is looked at, but its length is bounded.
  meter.text(one.length + other.length > 4096 ? one.length + other.length : 0);
  return one + other;
}

function added(one: List, other: List, meter: Meter): List {
  meter.step(one.length + other.length);
  return [...one, ...other];
}

function repeat(sequence: Value, times: number, meter: Meter): Value | undefined {
  if (typeof sequence === "string") {
    meter.text(sequence.length * times);
    return sequence.repeat(times);
  }
  const items = sequenceOf(sequence);
  if (!items) return undefined;
  meter.step(items.length * times);
  const list = Array.from({ length: items.length * times }, (_, index) => items[index % items.length]!);
  return Array.isArray(sequence) ? list : new Tuple(list);
}

function ofNumbers(
  operator: ArithmeticOperator,
  one: boolean | bigint | number,
  other: boolean | bigint | number,
): Value {
  const left = typeof one === "boolean" ? BigInt(one) : one;
  const right = typeof other === "boolean" ? BigInt(other) : other;
  if (typeof left === "bigint" && typeof right === "bigint") return ofIntegers(operator, left, right);
  return ofFloats(operator, Number(left), Number(right));
}

function ofIntegers(operator: ArithmeticOperator, left: bigint, right: bigint): Value {
  switch (operator) {
    case "+":
      return bounded(left + right);
    case "-":
      return bounded(left - right);
    case "*":
      return bounded(left * right);
    case "/":
      if (right === 0n) throw new TemplateError("division by zero");
      return divide(left, right);
    case "//":
      return floorDivide(left, right);
    case "%":
      return left - floorDivide(left, right) * right;
    case "**":
      if (right < 0n) return ofFloats("**", Number(left), Number(right));
      if (left < 2n && left > -2n) return left ** (right % 2n === 0n && right > 0n ? 2n : right && 1n);
      return right > BigInt(MAX_INT_BITS) ? bounded(1n << BigInt(MAX_INT_BITS)) : bounded(left ** right);
  }
}

function floorDivide(left: bigint, right: bigint): bigint {
  if (right === 0n) throw new TemplateError("integer division or modulo by zero");
  const quotient = left / right;
  return left % right !== 0n && left < 0n !== right < 0n ? quotient - 1n : quotient;
}

/** left / right rounded once, also where the two are larger than a float holds exactly. */
function divide(left: bigint, right: bigint): number {
  const [one, other] = [Number(left), Number(right)];
  if (Number.isSafeInteger(one) && Number.isSafeInteger(other)) return one / other;
  const shift = 1n << 1100n;
  const scaled = (left * shift) / right;
  const text = scaled.toString(2).replace("-", "");
  const dropped = Math.max(0, text.length - 64);
  // 64 bits and a last one that says whether more follow: rounding once more to 53 gives the nearest.
  const kept =
    BigInt(`0b${text.slice(0, 64)}`) | (/1/.test(text.slice(64)) || left * shift !== scaled * right ? 1n : 0n);
  const size = Number(kept) * 2 ** Math.max(dropped - 1100, -1074);
  if (!Number.isFinite(size)) throw new TemplateError("integer division result too large for a float");
  return left < 0n !== right < 0n ? -size : size;
}

function ofFloats(operator: ArithmeticOperator, left: number, right: number): number {
  if (operator === "+") return left + right;
  if (operator === "-") return left - right;
  if (operator === "*") return left * right;
  if (operator === "**") {
    if (left === 0 && right < 0) throw new TemplateError("zero cannot be raised to a negative power");
    if (left < 0 && !Number.isInteger(right)) throw new TemplateError("a root of a negative number");
    return left === 1 ? 1 : left ** right;
  }
  if (right === 0)
    throw new TemplateError(operator === "/" ? "float division by zero" : "float floor division by zero");
  if (operator === "/") return left / right;
  const remainder = left % right;
  const modulo =
    remainder !== 0 && remainder < 0 !== right < 0
      ? remainder + right
      : remainder === 0
        ? Math.sign(right) * 0
        : remainder;
  return operator === "%" ? modulo : Math.round((left - modulo) / right);
}

export function refuseUndefined(...values: Value[]): void {
  for (const value of values) if (value instanceof Undefined) throw value.fail();
}
