/** How the model's authors want its tokens chosen: generation_config.json, followed as transformers' generate follows it. */
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { z } from "zod";
import { GENERATION_CONFIG, readModelJson } from "./model-json.js";
import type { Sampling } from "./next-token.js";

/** What flags set; undefined: the file's value, else the default. */
export interface DecodingFlags {
  max_new_tokens?: number;
  /** 0: the most likely token. */
  temperature?: number;
  top_k?: number;
  top_p?: number;
  repetition_penalty?: number;
  no_repeat_ngram_size?: number;
}

export interface Decoding {
  sampling: Sampling;
  maxNewTokens: number;
  /** The file's settings that were taken, as `temperature 0.6`. */
  taken: string[];
  /** The file's settings that would change the text, and are not supported, as `num_beams 4`. */
  ignored: string[];
}

const count = z.number().int().nonnegative();
const schema = z.looseObject({
  do_sample: z.boolean().nullish(),
  max_new_tokens: count.nullish(),
  temperature: z.number().positive().nullish(),
  top_k: count.nullish(),
  top_p: z.number().positive().max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  no_repeat_ngram_size: count.nullish(),
});

export type GenerationConfig = z.infer<typeof schema>;

/** transformers 5.24, GenerationConfig._get_default_generation_params, but for the length: 20 tokens are too few to judge. */
const DEFAULTS = {
  max_new_tokens: 64,
  temperature: 1,
  top_k: 50,
  top_p: 1,
  repetition_penalty: 1,
  no_repeat_ngram_size: 0,
};

/** Settings of the same table that say what happens anyway. */
const WITHOUT_EFFECT: Readonly<Record<string, unknown>> = {
  ...{ min_length: 0, num_beams: 1, num_beam_groups: 1, typical_p: 1, num_return_sequences: 1, early_stopping: false },
  ...{ length_penalty: 1, diversity_penalty: 0, encoder_no_repeat_ngram_size: 0, encoder_repetition_penalty: 1 },
  ...{ epsilon_cutoff: 0, eta_cutoff: 0, min_p: 0, renormalize_logits: false, remove_invalid_values: false },
};

/** Settings that never change the text of one prompt, or that other code reads. */
const ELSEWHERE =
  /^(_.*|transformers_version|(bos|eos|pad|decoder_start)_token_id|use_cache|cache_.*|output_.*|return_.*|.*assistant.*|trust_.*)$/;

/** The file's content; empty where there is none. Errors: as readModelJson; `invalid_argument` for values. */
export async function readGenerationConfig(modelDir: string): Promise<GenerationConfig> {
  const { data, error } = schema.safeParse((await readModelJson(modelDir, GENERATION_CONFIG)) ?? {});
  if (data) return data;
  const issue = error.issues[0]!;
  const problem = `${join(modelDir, GENERATION_CONFIG)}: ${issue.path.join(".")}: ${issue.message}`;
  throw new GradpoolError("invalid_argument", `${problem}; correct it, or give the flag`, { cause: error });
}

/** Flags win over the file, the file over the defaults. A temperature of a flag says whether to draw, else the file's do_sample. */
export function decodingOf(flags: DecodingFlags, config: GenerationConfig): Decoding {
  const draws = flags.temperature === undefined ? config.do_sample === true : flags.temperature > 0;
  const taken: string[] = [];
  const pick = (name: keyof typeof DEFAULTS, fallback: number): number => {
    const flag = flags[name];
    const configured = config[name];
    if (flag !== undefined || configured === undefined || configured === null) return flag ?? fallback;
    taken.push(`${name} ${configured}`);
    return configured;
  };
  const maxNewTokens = pick("max_new_tokens", DEFAULTS.max_new_tokens);
  const repetitionPenalty = pick("repetition_penalty", DEFAULTS.repetition_penalty);
  const noRepeatNgramSize = pick("no_repeat_ngram_size", DEFAULTS.no_repeat_ngram_size);
  if (!draws) {
    const sampling = { temperature: 0, topK: 0, topP: 1, repetitionPenalty, noRepeatNgramSize };
    return { sampling, maxNewTokens, taken, ignored: ignoredIn(config) };
  }
  const sampling = {
    temperature: pick("temperature", DEFAULTS.temperature),
    // A temperature alone samples from all tokens.
    topK: pick("top_k", config.do_sample === true ? DEFAULTS.top_k : 0),
    topP: pick("top_p", DEFAULTS.top_p),
    ...{ repetitionPenalty, noRepeatNgramSize },
  };
  return { sampling, maxNewTokens, taken, ignored: ignoredIn(config) };
}

function ignoredIn(config: GenerationConfig): string[] {
  const others = Object.entries(config).filter(([name, value]) => {
    if (name in schema.shape || ELSEWHERE.test(name) || value === null || value === undefined) return false;
    return !(name in WITHOUT_EFFECT && WITHOUT_EFFECT[name] === value);
  });
  return others.map(([name, value]) => `${name} ${JSON.stringify(value)}`);
}
