import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** A reading of a gauge: a value, perhaps with labels. */
export type Reading<L extends string = string> = readonly [value: number, labels?: Record<L, string>];

/** Creates and registers a service's metrics. Names follow Prometheus' conventions. */
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

  /**
   * A gauge that is read at each scrape. Labels that are no longer read disappear: a run that ended, a trainer that
   * left.
   */
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
