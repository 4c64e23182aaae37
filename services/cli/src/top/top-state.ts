/** What `gradpool top` shows, and what keys do to it: no I/O. */
import { TrainerState, type GetPoolResponse, type Run, type Trainer } from "@gradpool/rpc";
import { hasEnded } from "../runs/run-state.js";
import type { Key } from "./key.js";

export type RunAction = "pause" | "resume" | "cancel";
export type TrainerAction = "drain" | "undrain";

/** What a person asked for. */
export type Wish =
  | { type: "quit" }
  | { type: "run"; action: RunAction; id: string }
  | { type: "trainer"; action: TrainerAction; id: string };

export interface TopState {
  address: string;
  pool?: GetPoolResponse;
  /** Those that have not ended first, newest first. */
  runs: readonly Run[];
  /** Why the coordinator does not answer; empty: it does. */
  away: string;
  /** The list that the arrows move in. */
  list: "runs" | "trainers";
  /** By id, so that it stays when others come and go; the first when it is not there. */
  runId: string;
  trainerId: string;
  /** A run's detail is open. */
  isOpen: boolean;
  /** Id of the run that is about to be cancelled: waits for yes or no. */
  cancelling: string;
  /** The result of the last request. */
  message: string;
}

export const firstState = (address: string): TopState => ({
  ...{ address, runs: [], away: "", list: "runs", runId: "", trainerId: "" },
  ...{ isOpen: false, cancelling: "", message: "" },
});

export const selectedRun = ({ runs, runId }: TopState): Run | undefined =>
  runs.find((run) => run.runId === runId) ?? runs[0];

export const trainersOf = ({ pool }: TopState): readonly Trainer[] => pool?.trainers ?? [];

export const selectedTrainer = (state: TopState): Trainer | undefined =>
  trainersOf(state).find(({ trainerId }) => trainerId === state.trainerId) ?? trainersOf(state)[0];

/** What a look at the pool gave. */
export function seen(state: TopState, pool: GetPoolResponse, runs: readonly Run[]): TopState {
  const trainers = pool.trainers.toSorted((one, other) => (one.trainerId < other.trainerId ? -1 : 1));
  const ordered = [...runs.filter((run) => !hasEnded(run)), ...runs.filter(hasEnded)];
  return { ...state, pool: { ...pool, trainers }, runs: ordered, away: "" };
}

/** The view after a key, and what the user wants done. */
export function pressed(state: TopState, key: Key): { state: TopState; wish?: Wish } {
  if (key === "quit") return { state, wish: { type: "quit" } };
  if (state.cancelling) {
    const id = state.cancelling;
    const answered = { ...state, cancelling: "", message: "" };
    return key === "y" ? { state: answered, wish: { type: "run", action: "cancel", id } } : { state: answered };
  }
  const next = { ...state, message: "" };
  switch (key) {
    case "up":
      return { state: moved(next, -1) };
    case "down":
      return { state: moved(next, 1) };
    case "tab":
      return { state: { ...next, isOpen: false, list: state.list === "runs" ? "trainers" : "runs" } };
    case "enter":
    case "right":
      return { state: state.list === "runs" && selectedRun(state) ? { ...next, isOpen: true } : next };
    case "escape":
    case "left":
      return { state: { ...next, isOpen: false } };
    default:
      return acted(next, key);
  }
}

function moved(state: TopState, by: number): TopState {
  const within = <T>(list: readonly T[], selected: T | undefined) =>
    list[Math.min(list.length - 1, Math.max(0, (selected ? list.indexOf(selected) : 0) + by))];
  if (state.list === "runs") return { ...state, runId: within(state.runs, selectedRun(state))?.runId ?? "" };
  return { ...state, trainerId: within(trainersOf(state), selectedTrainer(state))?.trainerId ?? "" };
}

function acted(state: TopState, key: Key): { state: TopState; wish?: Wish } {
  const run = state.list === "runs" ? selectedRun(state) : undefined;
  const trainer = state.list === "trainers" ? selectedTrainer(state) : undefined;
  if (run && (key === "p" || key === "r" || key === "c")) {
    if (hasEnded(run)) return { state: { ...state, message: `${run.runId} has ended already` } };
    if (key === "c") return { state: { ...state, runId: run.runId, cancelling: run.runId } };
    return { state, wish: { type: "run", action: key === "p" ? "pause" : "resume", id: run.runId } };
  }
  if (trainer && key === "d") {
    const action = trainer.state === TrainerState.TRAINER_STATE_ACTIVE ? "drain" : "undrain";
    return { state, wish: { type: "trainer", action, id: trainer.trainerId } };
  }
  if (key === "d") return { state: { ...state, message: "d drains a trainer: press tab to select one" } };
  if (["p", "r", "c"].includes(key))
    return { state: { ...state, message: `${key} is for runs: press tab to select one` } };
  return { state };
}
