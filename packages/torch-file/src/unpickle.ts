/**
 * Reads the pickle of a torch file without running anything (I7): a machine of its own for the opcodes
 * that torch.save writes (Python's Lib/pickletools.py lists them), which knows dicts, lists, tuples,
 * numbers, text and tensors. Whatever else a pickle would import or call is refused by name.
 */
import { GradpoolError } from "@gradpool/errors";
import { PickleBytes } from "./pickle-bytes.js";
import {
  Foreign,
  FOREIGN,
  Global,
  kindOf,
  ORDERED_DICT,
  type PickleValue,
  REBUILD_PARAMETER,
  REBUILD_TENSOR,
  Storage,
  STORAGE_DTYPES,
  TorchTensor,
  Tuple,
} from "./pickle-values.js";
import { damaged, shown } from "./random-access.js";

/** Most dicts, lists, tuples, tensors and memo entries: some 200 bytes each that one byte of pickle can make. */
const MAX_OBJECTS = 1_000_000;
const MAX_DIMENSIONS = 64;
const STOP = 0x2e;

const CALLABLE = new Set([ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER]);

export interface Unpickled {
  value: PickleValue;
  /** All storages that the pickle refers to, by key. */
  storages: ReadonlyMap<string, Storage>;
  /** Where the pickle ends. */
  bytesRead: number;
}

/** Errors: `data_loss` for a damaged pickle, `failed_precondition` naming whatever does not belong to tensors. */
export function unpickle(bytes: Uint8Array, path: string): Unpickled {
  return new Unpickler(bytes, path).run();
}

class Unpickler {
  readonly #bytes: PickleBytes;
  #objects = 0;
  #stack: PickleValue[] = [];
  /** Stacks below open marks. */
  readonly #below: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #storages = new Map<string, Storage>();

  constructor(
    bytes: Uint8Array,
    readonly path: string,
  ) {
    this.#bytes = new PickleBytes(bytes, path);
  }

  run(): Unpickled {
    for (;;) {
      const opcode = this.#bytes.byte();
      if (opcode === STOP) return { value: this.#pop(), storages: this.#storages, bytesRead: this.#bytes.at };
      this.#execute(opcode);
    }
  }

  #execute(opcode: number): void {
    switch (String.fromCharCode(opcode)) {
      case "\x80":
        return this.#protocol(this.#bytes.byte());
      case "\x95":
        return void this.#bytes.take(8);
      case "(":
        return this.#mark();
      case "N":
        return this.#push(null);
      case "\x88":
        return this.#push(true);
      case "\x89":
        return this.#push(false);
      case "K":
        return this.#push(this.#bytes.byte());
      case "M":
        return this.#push(this.#bytes.uint16());
      case "J":
        return this.#push(this.#bytes.int32());
      case "\x8a":
        return this.#push(this.#bytes.longInteger(this.#bytes.byte()));
      case "G":
        return this.#push(this.#bytes.float64());
      case "X":
        return this.#push(this.#bytes.text(this.#bytes.uint32()));
      case "\x8c":
        return this.#push(this.#bytes.text(this.#bytes.byte()));
      case "q":
        return this.#put(this.#bytes.byte());
      case "r":
        return this.#put(this.#bytes.uint32());
      case "\x94":
        return this.#put(this.#memo.size);
      case "h":
        return this.#get(this.#bytes.byte());
      case "j":
        return this.#get(this.#bytes.uint32());
      default:
        return this.#executeOnObjects(opcode);
    }
  }

  #executeOnObjects(opcode: number): void {
    switch (String.fromCharCode(opcode)) {
      case "}":
        return this.#made(new Map());
      case "]":
        return this.#made([]);
      case ")":
        return this.#made(new Tuple([]));
      case "t":
        return this.#made(new Tuple(this.#unmark()));
      case "\x85":
        return this.#made(new Tuple(this.#popped(1)));
      case "\x86":
        return this.#made(new Tuple(this.#popped(2)));
      case "\x87":
        return this.#made(new Tuple(this.#popped(3)));
      case "a":
        return this.#append(this.#popped(1));
      case "e":
        return this.#append(this.#unmark());
      case "s":
        return this.#setItems(this.#popped(2));
      case "u":
        return this.#setItems(this.#unmark());
      case "c":
        return this.#global(this.#bytes.line(), this.#bytes.line());
      case "\x93":
        return this.#global(...(this.#popped(2) as [PickleValue, PickleValue]));
      case "Q":
        return this.#made(this.#storage(this.#pop()));
      case "R":
        return this.#reduce();
      case "b":
        return this.#build();
      default: {
        const at = `opcode 0x${opcode.toString(16)} at byte ${this.#bytes.at - 1}`;
        throw this.#refuse(`its pickle has ${at}, which no tensor needs`);
      }
    }
  }

  #protocol(version: number): void {
    if (version < 2 || version > 5) throw this.#refuse(`its pickle is of protocol ${version}`);
  }

  /** A global is only looked up in a table: nothing is imported. */
  #global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== "string" || typeof name !== "string")
      throw this.#damaged("its pickle imports something that is not a name");
    const full = `${module}.${name}`;
    if (FOREIGN.has(full)) return this.#made(new Foreign(full));
    if (!CALLABLE.has(full) && !STORAGE_DTYPES.has(full)) {
      throw this.#refuse(`its pickle asks for ${shown(full)}, which gradpool never loads or runs`);
    }
    this.#made(new Global(full));
  }

  #reduce(): void {
    const [callable, args] = this.#popped(2);
    if (callable instanceof Foreign && args instanceof Tuple) return this.#made(callable);
    if (!(callable instanceof Global) || !CALLABLE.has(callable.name) || !(args instanceof Tuple)) {
      throw this.#refuse(`its pickle calls ${callable instanceof Global ? callable.name : kindOf(callable)}`);
    }
    const [storage] = args.items;
    if (callable.name === REBUILD_TENSOR && storage instanceof Foreign) return this.#made(storage);
    if (callable.name === REBUILD_PARAMETER && storage instanceof Foreign) return this.#made(storage);
    if (callable.name === REBUILD_TENSOR) return this.#made(this.#tensor(args.items));
    if (callable.name === REBUILD_PARAMETER) {
      const [tensor] = args.items;
      if (!(tensor instanceof TorchTensor)) throw this.#damaged("its pickle has a parameter without a tensor");
      return this.#push(tensor);
    }
    if (args.items.length > 0) throw this.#refuse("its pickle makes an OrderedDict of something");
    this.#made(new Map());
  }

  /** An OrderedDict's attributes (`_metadata`) say nothing about tensors. */
  #build(): void {
    const [target, state] = this.#popped(2);
    if (!(target instanceof Map) || !(state instanceof Map)) {
      throw this.#refuse(`its pickle sets the state of ${kindOf(target)}`);
    }
    this.#push(target);
  }

  /** ("storage", type, key, device, elements), and in old files a part of the storage or None. */
  #storage(id: PickleValue): Storage | Foreign {
    const [kind, type, key, , size, part = null] = id instanceof Tuple ? id.items : [];
    if (kind === "storage" && type instanceof Foreign) return type;
    const dtype = type instanceof Global ? STORAGE_DTYPES.get(type.name) : undefined;
    if (kind !== "storage" || dtype === undefined || typeof key !== "string" || !isCount(size) || part !== null) {
      throw this.#damaged("its pickle refers to a storage in an unknown way");
    }
    const known = this.#storages.get(key) ?? new Storage(key, dtype, size);
    if (known.dtype !== dtype || known.size !== size) {
      throw this.#damaged(`its storage ${shown(key)} is described in two ways`);
    }
    this.#storages.set(key, known);
    return known;
  }

  /** (storage, offset, shape, strides, requires_grad, hooks). */
  #tensor([storage, offset, shape, strides]: readonly PickleValue[]): TorchTensor {
    const dims = this.#counts(shape);
    const steps = this.#counts(strides);
    if (!(storage instanceof Storage) || !isCount(offset) || !dims || dims.length !== steps?.length) {
      throw this.#damaged("its pickle has a tensor with impossible shape or strides");
    }
    return new TorchTensor(storage, offset, dims, steps);
  }

  #counts(value: PickleValue | undefined): number[] | undefined {
    if (!(value instanceof Tuple) || value.items.length > MAX_DIMENSIONS) return undefined;
    return value.items.every(isCount) ? [...value.items] : undefined;
  }

  #append(items: readonly PickleValue[]): void {
    const list = this.#stack.at(-1);
    if (!Array.isArray(list)) throw this.#damaged(`its pickle appends to ${kindOf(list)}`);
    for (const item of items) list.push(item);
  }

  #setItems(items: readonly PickleValue[]): void {
    const dict = this.#stack.at(-1);
    if (!(dict instanceof Map) || items.length % 2 !== 0)
      throw this.#damaged(`its pickle sets items of ${kindOf(dict)}`);
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i] as PickleValue;
      if (dict.has(key))
        throw this.#damaged(`its pickle has ${typeof key === "string" ? shown(key) : kindOf(key)} twice as a key`);
      dict.set(key, items[i + 1] as PickleValue);
    }
  }

  #mark(): void {
    this.#count();
    this.#below.push(this.#stack);
    this.#stack = [];
  }

  /** Everything above the last mark. */
  #unmark(): PickleValue[] {
    const items = this.#stack;
    const below = this.#below.pop();
    if (!below) throw this.#damaged("its pickle goes back to a mark that is not there");
    this.#stack = below;
    return items;
  }

  #put(index: number): void {
    const value = this.#stack.at(-1);
    if (value === undefined) throw this.#damaged("its pickle remembers nothing");
    if (!this.#memo.has(index)) this.#count();
    this.#memo.set(index, value);
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#damaged(`its pickle recalls ${index}, which it has not remembered`);
    this.#push(value);
  }

  #made(value: PickleValue): void {
    this.#count();
    this.#push(value);
  }

  #count(): void {
    if (++this.#objects > MAX_OBJECTS) throw this.#refuse(`its pickle has more than ${MAX_OBJECTS} objects`);
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) throw this.#damaged("its pickle takes what is not there");
    return value;
  }

  #popped(count: number): PickleValue[] {
    if (this.#stack.length < count) throw this.#damaged("its pickle takes what is not there");
    return this.#stack.splice(-count);
  }

  #damaged(what: string): GradpoolError {
    return damaged(this.path, what);
  }

  #refuse(what: string): GradpoolError {
    const message = `${this.path}: ${what}; use a file with only tensors, preferably model.safetensors`;
    return new GradpoolError("failed_precondition", message);
  }
}

const isCount = (value: PickleValue | undefined): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
