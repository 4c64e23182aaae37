/** What the checkpoint store counts and times; docs/metrics.md says how to use it. */
import { GradpoolError } from "@gradpool/errors";
import { MetricSet, type Registry } from "@gradpool/service-kit";
import type { ArtifactStore } from "./artifact-store.js";

const SECONDS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const SIZE_BYTES = [1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

type Operation = "save" | "load" | "list" | "verify" | "remove";
const OPERATIONS: readonly Operation[] = ["save", "load", "list", "verify", "remove"];

/** Not the store's fault: the client's request was wrong, or it disconnected. */
const ASKED_WRONG = new Set(["invalid_argument", "not_found", "failed_precondition", "aborted", "cancelled"]);

/** A store that records metrics of its operations. */
export function measured(store: ArtifactStore, registry: Registry): ArtifactStore {
  const set = new MetricSet(registry);
  const times = set.histogram(
    "gradpool_checkpoint_seconds",
    "Time of the checkpoint store's operations: save, load, list, verify or remove.",
    SECONDS,
    "operation",
  );
  const failures = set.counter(
    "gradpool_checkpoint_failures_total",
    "Operations that failed through no fault of the client, such as a full disk or a damaged file.",
    "operation",
  );
  // An alert's series must exist before the first occurrence.
  for (const operation of OPERATIONS) {
    failures.inc({ operation }, 0);
    times.zero({ operation });
  }
  const sizes = set.histogram("gradpool_checkpoint_size_bytes", "Size of saved checkpoints and results.", SIZE_BYTES);

  const begin = (operation: Operation) => {
    const end = times.startTimer({ operation });
    return (error?: unknown) => {
      if (error === undefined) end();
      else if (!ASKED_WRONG.has(GradpoolError.from(error).code)) failures.inc({ operation });
    };
  };
  const timed = async <T>(operation: Operation, work: () => Promise<T>): Promise<T> => {
    const ended = begin(operation);
    try {
      const result = await work();
      ended();
      return result;
    } catch (error) {
      ended(error);
      throw error;
    }
  };
  return {
    claim: (outputDir, claimant, keepResult) => store.claim(outputDir, claimant, keepResult),
    release: (outputDir, claimant) => store.release(outputDir, claimant),
    async save(header, data, signal) {
      const saved = await timed("save", () => store.save(header, data, signal));
      sizes.observe(header.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
      return saved;
    },
    async *load(outputDir, selection, signal) {
      const ended = begin("load");
      try {
        yield* store.load(outputDir, selection, signal);
      } catch (error) {
        ended(error);
        throw error;
      }
      ended();
    },
    list: (outputDir) => timed("list", () => store.list(outputDir)),
    verify: (outputDir, name, signal) => timed("verify", () => store.verify(outputDir, name, signal)),
    remove: (outputDir, name, requestId, claimant) =>
      timed("remove", () => store.remove(outputDir, name, requestId, claimant)),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
