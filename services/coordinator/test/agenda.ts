/** Virtual time: a schedule of events. Events of the same moment happen in the order in which they were planned. */
export class Agenda {
  readonly #plans: { atMs: number; act: () => void }[] = [];
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  in(ms: number, act: () => void): void {
    const atMs = this.#nowMs + ms;
    let place = this.#plans.length;
    while (place > 0 && (this.#plans[place - 1]?.atMs ?? 0) > atMs) place -= 1;
    this.#plans.splice(place, 0, { atMs, act });
  }

  /** Runs the next event and all promises that follow from it; false when nothing is planned. */
  async next(): Promise<boolean> {
    const plan = this.#plans.shift();
    if (!plan) return false;
    this.#nowMs = plan.atMs;
    plan.act();
    // The timer fires when no promise can continue.
    await new Promise<void>((done) => process.nextTick(done));
    return true;
  }
}
