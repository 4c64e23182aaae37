/** What the tokenizer service counts; docs/metrics.md says what it is good for. */
import { MetricSet, type Registry } from "@gradpool/service-kit";

export class TokenizerMetrics {
  readonly #texts;
  readonly #tokens;
  readonly #uses;

  /** `waiting`: work that no thread has begun. */
  constructor(registry: Registry, waiting: () => number) {
    const set = new MetricSet(registry);
    this.#texts = set.counter("gradpool_tokenizer_texts_total", "Texts encoded; a long one counts once a piece.");
    this.#tokens = set.counter("gradpool_tokenizer_tokens_total", "Token ids given for them.");
    this.#uses = set.counter(
      "gradpool_tokenizer_cache_requests_total",
      "Uses of a tokenizer, by whether its thread had loaded it before: hit or miss.",
      "result",
    );
    set.gauge("gradpool_tokenizer_work_waiting", "Requests that no thread has begun to work on.", [], () => [
      [waiting()],
    ]);
  }

  encoded(texts: number, tokens: number): void {
    this.#texts.inc(texts);
    this.#tokens.inc(tokens);
  }

  used(loaded: boolean): void {
    this.#uses.inc({ result: loaded ? "miss" : "hit" });
  }
}
