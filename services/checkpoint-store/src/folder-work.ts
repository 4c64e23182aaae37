import type { Logger } from "@gradpool/service-kit";
import { Serial } from "./serial.js";

/** How a store works on its output folders, each called by its checked name. */
export class FolderWork {
  readonly #explain: (error: unknown, folder: string) => unknown;
  readonly #log: Logger;
  readonly #serial = new Serial();

  /** `explain`: what a failure means to the person who chose the folder. */
  constructor(explain: (error: unknown, folder: string) => unknown, log: Logger) {
    this.#explain = explain;
    this.#log = log;
  }

  /** Runs work while nothing else may change the folder, and explains its failures. */
  alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
    return this.#serial.run(folder, () => this.explained(folder, work));
  }

  async explained<T>(folder: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#explain(error, folder);
    }
  }

  /** Runs a cleanup that may fail without harm: the next claim or save cleans up what is left. */
  async tidy(folder: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log.warn({ err: error, outputDir: folder }, "cannot clean up; the next claim or save tries again");
    }
  }
}
