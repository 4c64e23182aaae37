import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What a gauge is found to be: a value, with labels where it has some. */
export type Reading<L extends string = string> = readonly [value: number, labels?: Record<L, string>];

/** Makes a service's metrics, which are registered as they are made. Names follow Prometheus' conventions. */
export class MetricSet {
  readonly #registers: Registry[];

  constructor(registry: Registry) {
    this.#registers = [registry];
  }

  counter<L extends string>(name: string, help: string, ...labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: this.#registers });
  }

  histogram<L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]): Histogram<L> {
    return new Histogram({ name, help, buckets, labelNames, registers: this.#registers });
  }

  /** A gauge that is read at each scrape. What is not read any more is gone with it: a run that ended, a trainer that left. */
  gauge<L extends string>(name: string, help: string, labelNames: L[], read: () => Iterable<Reading<L>>): void {
    new Gauge({
      ...{ name, help, labelNames, registers: this.#registers },
      collect() {
        this.reset();
        for (const [value, labels] of read())
          if (labels) this.set(labels, value);
          else this.set(value);
      },
    });
  }
}
