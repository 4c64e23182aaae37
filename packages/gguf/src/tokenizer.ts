/** tokenizer.json and its companions from a GGUF file's tokenizer.ggml.* fields. */
import type { GgufFile } from "./gguf-file.js";
import { MetadataReader } from "./metadata-reader.js";
import { PRE_TOKENIZERS, type PreTokenizer } from "./pre-tokenizers.js";
import { shown } from "./text.js";

/** llama.cpp's token types (llama_token_type). */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/**
 * Tokens that end a turn or mark places, which llama.cpp treats as control tokens whatever their type (llama-vocab.cpp,
 * "control-looking token"). Of those for filling in the middle it takes one of each kind; files have no more.
 */
const CONTROL_LOOKING = new Set(
  `<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|calls|> <|flush|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> _<EOT>
  [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[
  <|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|> <|prefix|>
  <|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|> <|suffix|>
  <|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|> <|middle|>
  <|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD] <|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame> <|file_sep|>`.split(
    /\s+/,
  ),
);

/** Contents by file name. */
export type TokenizerFiles = Map<string, string>;

/**
 * Errors: `failed_precondition` for a tokenizer other than byte-level BPE, and for a pre-tokenizer that is not
 * known, naming it: it decides where texts are split; `data_loss` for damaged fields.
 */
export function buildTokenizer(file: GgufFile): TokenizerFiles {
  const metadata = new MetadataReader(file);
  const model = metadata.text("tokenizer.ggml.model");
  if (model !== "gpt2") {
    const what = model === "llama" ? "a SentencePiece-style tokenizer" : `the tokenizer ${shown(model)}`;
    throw metadata.unsupported(
      `${what} is not supported; use a model with a byte-level BPE tokenizer, such as Llama 3's`,
    );
  }
  const preTokenizer = findPreTokenizer(metadata);
  const tokens = metadata.texts("tokenizer.ggml.tokens");
  const specials = new SpecialTokens(metadata, tokens);
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(metadata, tokens),
    normalizer: preTokenizer.nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: preTokenizer.steps },
    post_processor: postProcessor(metadata, preTokenizer, specials),
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: preTokenizer.ignoreMerges,
      vocab: vocabulary(metadata, tokens),
      merges: metadata.texts("tokenizer.ggml.merges").map((merge) => split(metadata, merge)),
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...specials.roles(),
    chat_template: metadata.optionalText("tokenizer.chat_template"),
    clean_up_tokenization_spaces: false,
  };
  return new Map([
    ["tokenizer.json", JSON.stringify(tokenizer)],
    ["tokenizer_config.json", JSON.stringify(config, null, 2)],
  ]);
}

function findPreTokenizer(metadata: MetadataReader): PreTokenizer {
  const name = metadata.optionalText("tokenizer.ggml.pre");
  const known = PRE_TOKENIZERS.get(name ?? "");
  if (known) return known;
  const what =
    name === undefined ? "the file does not name its pre-tokenizer" : `the pre-tokenizer ${shown(name)} is not known`;
  const names = [...PRE_TOKENIZERS.keys()].join(", ");
  throw metadata.unsupported(
    `${what} (tokenizer.ggml.pre); known: ${names}; use the model's safetensors and tokenizer.json`,
  );
}

/** A null prototype: "__proto__" is a token like any other. */
function vocabulary(metadata: MetadataReader, tokens: readonly string[]): Record<string, number> {
  const vocab = Object.create(null) as Record<string, number>;
  for (const [id, token] of tokens.entries()) {
    if (Object.hasOwn(vocab, token)) throw metadata.damaged(`it has the token ${shown(token)} twice`);
    vocab[token] = id;
  }
  return vocab;
}

/** "a b", where b may begin with a space only if it is one: entries hold no spaces of their own. */
function split(metadata: MetadataReader, merge: string): [string, string] {
  const [left, right, ...rest] = merge.split(" ");
  if (left === undefined || right === undefined || rest.length > 0) {
    throw metadata.damaged(`its merge ${shown(merge)} is not two entries`);
  }
  return [left, right];
}

function addedTokens(metadata: MetadataReader, tokens: readonly string[]): object[] {
  const types = metadata.optionalNumbers("tokenizer.ggml.token_type");
  if (types && types.length < tokens.length) {
    throw metadata.damaged(`it has ${types.length} token types for ${tokens.length} tokens`);
  }
  return tokens.flatMap((content, id) => {
    const stored = types?.at(id) ?? NORMAL;
    const type = CONTROL_LOOKING.has(content) ? CONTROL : stored;
    if (type !== CONTROL && type !== USER_DEFINED && type !== UNKNOWN) return [];
    const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...plain, special: type !== USER_DEFINED }];
  });
}

class SpecialTokens {
  constructor(
    private readonly metadata: MetadataReader,
    private readonly tokens: readonly string[],
  ) {}

  /** The token that the metadata gives this role, such as "bos". */
  named(role: string): { id: number; token: string } | undefined {
    const key = `tokenizer.ggml.${role}_token_id`;
    const id = this.metadata.optionalCount(key);
    if (id === undefined) return undefined;
    const token = this.tokens[id];
    // llama.cpp ignores one that is out of range; for these it would then guess.
    if (token === undefined && role !== "bos" && role !== "eos") return undefined;
    if (token === undefined) throw this.metadata.damaged(`its ${key} ${id} is not a token`);
    return { id, token };
  }

  /** Members of tokenizer_config.json. */
  roles(): Record<string, string | undefined> {
    return {
      bos_token: this.named("bos")?.token,
      eos_token: this.named("eos")?.token,
      unk_token: this.named("unknown")?.token,
      pad_token: this.named("padding")?.token,
    };
  }
}

function postProcessor(metadata: MetadataReader, preTokenizer: PreTokenizer, specials: SpecialTokens): object | null {
  const addsBos = metadata.optionalFlag("tokenizer.ggml.add_bos_token") ?? preTokenizer.addsBos;
  const addsEos = metadata.optionalFlag("tokenizer.ggml.add_eos_token") ?? false;
  const around = (role: string, isAdded: boolean) => {
    const special = isAdded ? specials.named(role) : undefined;
    return special ? [special] : [];
  };
  const bos = around("bos", addsBos);
  const eos = around("eos", addsEos);
  if (bos.length + eos.length === 0) return null;
  const part = ({ token }: { token: string }) => ({ SpecialToken: { id: token, type_id: 0 } });
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    type: "TemplateProcessing",
    single: [...bos.map(part), text("A"), ...eos.map(part)],
    pair: [...bos.map(part), text("A"), ...eos.map(part), text("B")],
    special_tokens: Object.fromEntries(
      [...bos, ...eos].map(({ id, token }) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}
