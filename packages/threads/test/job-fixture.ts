/** A thread for tests: does what it is asked, good or bad. */
import { serveJobs, type JobContext } from "../src/index.js";

export type Ask =
  | { kind: "count"; to: number }
  | { kind: "spin"; on: string }
  | { kind: "spinAfter"; values: number }
  | { kind: "fill" }
  | { kind: "ask"; question: string }
  | { kind: "refuse" }
  | { kind: "crash" }
  | { kind: "wait" };

async function* run(ask: Ask, { signal, working, call }: JobContext): AsyncGenerator<unknown> {
  switch (ask.kind) {
    case "count":
      for (let i = 0; i < ask.to; i++) yield i;
      return;
    case "spin":
      working(ask.on);
      for (;;);
    case "spinAfter":
      for (let i = 0; i < ask.values; i++) yield i;
      for (;;);
    case "fill": {
      const held: unknown[] = [];
      for (;;) held.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
    }
    case "ask":
      yield await call<string>(ask.question);
      return;
    case "refuse":
      throw Object.assign(new Error("no such row"), { name: "AbortError" });
    case "crash":
      setImmediate(() => {
        throw new Error("a bug");
      });
      await new Promise<void>((resolve) => setTimeout(resolve, 60_000));
      return;
    case "wait":
      yield "waiting";
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  }
}

serveJobs(run);
