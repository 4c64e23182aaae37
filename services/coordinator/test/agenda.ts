/** Virtual time: a schedule of events. Events of the same moment happen in the order in which they were planned. */
interface Plan {
  atMs: number;
  number: number;
  act: () => void;
}

export class Agenda {
  /** A binary heap: each plan is before those at 2i + 1 and 2i + 2. */
  readonly #plans: Plan[] = [];
  #planned = 0;
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  in(ms: number, act: () => void): void {
    const plan = { atMs: this.#nowMs + ms, number: ++this.#planned, act };
    const plans = this.#plans;
    let place = plans.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (isBefore(plans[above]!, plan)) break;
      plans[place] = plans[above]!;
      place = above;
    }
    plans[place] = plan;
  }

  /** Runs the next event and all promises that follow from it; false when nothing is planned. */
  async next(): Promise<boolean> {
    const plan = this.#take();
    if (!plan) return false;
    this.#nowMs = plan.atMs;
    plan.act();
    // The timer fires when no promise can continue.
    await new Promise<void>((done) => process.nextTick(done));
    return true;
  }

  #take(): Plan | undefined {
    const plans = this.#plans;
    const [first] = plans;
    const last = plans.pop();
    if (!last || plans.length === 0) return first;
    let place = 0;
    for (let below = 1; below < plans.length; below = 2 * place + 1) {
      if (below + 1 < plans.length && isBefore(plans[below + 1]!, plans[below]!)) below += 1;
      if (isBefore(last, plans[below]!)) break;
      plans[place] = plans[below]!;
      place = below;
    }
    plans[place] = last;
    return first;
  }
}

const isBefore = (a: Plan, b: Plan): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
