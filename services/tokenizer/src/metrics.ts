/** What the tokenizer service counts; docs/metrics.md says how to use it. */
import { MetricSet, type Registry } from "@gradpool/service-kit";

export class TokenizerMetrics {
  readonly #texts;
  readonly #tokens;
  readonly #uses;

  /** `waiting`: work that no thread has started. */
  constructor(registry: Registry, waiting: () => number) {
    const set = new MetricSet(registry);
    this.#texts = set.counter("gradpool_tokenizer_texts_total", "Texts encoded; a long one counts once per piece.");
    this.#tokens = set.counter("gradpool_tokenizer_tokens_total", "Token ids produced.");
    this.#uses = set.counter(
      "gradpool_tokenizer_cache_requests_total",
      "Uses of a tokenizer, by whether its thread had loaded it before: hit or miss.",
      "result",
    );
    for (const result of ["hit", "miss"]) this.#uses.inc({ result }, 0);
    set.gauge("gradpool_tokenizer_work_waiting", "Requests that no thread has started.", [], () => [[waiting()]]);
  }

  encoded(texts: number, tokens: number): void {
    this.#texts.inc(texts);
    this.#tokens.inc(tokens);
  }

  used(loaded: boolean): void {
    this.#uses.inc({ result: loaded ? "miss" : "hit" });
  }
}
