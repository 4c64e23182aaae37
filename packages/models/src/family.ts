/** What a family of architectures is written with: one file each, which reads config.json and computes the forward pass. */
import type { BasePrecision, DoraBranch, DropoutMask, Linear, LoraBranch, Value } from "@gradpool/graph";
import type { TableNames } from "./checkpoint.js";
import type { DropoutSite, LinearModule, ModelDescription, TokenTables } from "./description.js";

/**
 * Where a forward pass asks for what it needs, saying what that must be. Opening a model traces one pass (trace.ts):
 * the tensors that its files must hold, the modules that LoRA can adapt, the model's own dropouts and the tables of
 * tokens are what was asked for, in that order. Layers (layers.ts) ask on behalf of a family.
 */
export interface ForwardContext {
  /** Token ids [B, S]. */
  ids: Value;
  /** 0 … S − 1 [S]. */
  positions: Value;
  /** Tokens of a row after its last position: a loss graph leaves out a row's last, which is a target alone. */
  following: 0 | 1;
  /** Where rows hold several documents; undefined: each row is one. */
  documents?: Documents | undefined;
  /** Additive causal mask [S, S]; of rows that hold several documents [B, 1, 1, S, S]. */
  causalMask: Value;
  /** The same, but each position sees only the last `window` positions, its own among them. To be asked for outside of blocks. */
  windowMask(window: number): Value;
  /** Of the products with linear layers' weights; undefined: float32. The head's are float32. */
  precision?: BasePrecision | undefined;
  /** A weight, by its name in the whole model's files: float32, or a matrix in float16. */
  weight(name: string, shape: readonly number[]): Value;
  /** The embedding, asked for first, or the head [V, C], with the pad token's row where one was added. */
  tokenTable(name: string, shape: readonly [number, number]): Value;
  /** LoRA or DoRA of a linear layer; undefined where it is not adapted. */
  adapter(module: LinearModule, base: Linear): LoraBranch | DoraBranch | undefined;
  /** The mask of one of the model's own dropouts; undefined where nothing is dropped. */
  dropoutMask(site: DropoutSite): DropoutMask | undefined;
  /** Builds a block of the model on x [N, C]: its values are kept for the backward pass, or computed again. */
  block(x: Value, build: (x: Value) => Value): Value;
}

export interface ForwardOutputs {
  /** Hidden states before the head [N, C]. */
  hidden: Value;
  /** [V, C]: the logits are hidden·headᵀ. The embedding itself where the two are tied. */
  head: Value;
}

export interface FamilyConfig {
  /** Longest sequence. */
  positions: number;
  /** The head is the embedding: as config.json says, and in `forward` as the file has it. */
  tied: boolean;
}

export interface Family<Config extends FamilyConfig = FamilyConfig> {
  /** Those of config.json that it covers. */
  modelTypes: readonly string[];
  tables: TableNames;
  /** Modules that are adapted where none are chosen, as PEFT 0.21 has them for the architecture. */
  ownTargets: readonly string[];
  /** Errors: `failed_precondition` for what it does not cover, naming the field. */
  readConfig(raw: Readonly<Record<string, unknown>>): Config;
  forward(config: Config, context: ForwardContext): ForwardOutputs;
}

/** Of rows that hold several documents, one after another, which do not see each other. */
export interface Documents {
  /** Each token's position in its document, from 0 [B, S]. */
  positions: Value;
  /** Tokens of the longest one [1, 1], float32. */
  longest(): Value;
}

/** A model read from config.json and the weights' header; holds no weights. */
export interface Model {
  description: ModelDescription;
  tokenTables: TokenTables;
  /** Names of all weights that it reads. */
  weights: ReadonlySet<string>;
  /** The model's own dropouts; none where its config has them at 0. */
  dropouts: readonly DropoutSite[];
  forward(context: ForwardContext): ForwardOutputs;
}
