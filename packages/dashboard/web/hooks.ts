/** Hooks that fetch what the pages show. */
import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { LiveRun } from "./live-run.js";

export interface Polled<T> {
  data?: T;
  /** Why there is no newer answer; empty: it is current. */
  problem: string;
  /** Refreshes at once. */
  again: () => void;
}

/** The latest answer to a GET, repeated every `everyMs` while the page is visible; none without a path. */
export function usePolled<T>(path: string | undefined, everyMs: number): Polled<T> {
  const [state, setState] = useState<{ data?: T; problem: string }>({ problem: "" });
  const [turn, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    if (path === undefined) return setState({ problem: "" });
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isAsking = false;
    const ask = async () => {
      if (isAsking) return;
      isAsking = true;
      try {
        if (!document.hidden) setState({ data: await get<T>(path, ended.signal), problem: "" });
      } catch (error) {
        if (ended.signal.aborted) return;
        const problem = error instanceof Error ? error.message : String(error);
        setState(({ data }) => ({ ...(data === undefined ? {} : { data }), problem }));
      } finally {
        isAsking = false;
      }
      if (!ended.signal.aborted) timer = setTimeout(() => void ask(), everyMs);
    };
    const onVisible = () => {
      clearTimeout(timer);
      void ask();
    };
    document.addEventListener("visibilitychange", onVisible);
    void ask();
    return () => {
      ended.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [path, everyMs, turn]);
  return { ...state, again: () => again(undefined) };
}

/** A run, followed as long as its page is open. */
export function useLiveRun(runId: string): LiveRun | undefined {
  const [live, setLive] = useState<LiveRun>();
  const [, draw] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    const followed = new LiveRun(runId, () => draw(undefined));
    followed.follow();
    setLive(followed);
    return () => followed.close();
  }, [runId]);
  return live;
}

/** How often to look at runs that are compared. */
const LOOK_EVERY_MS = 2_000;

/** Several runs, looked at in turn as long as their page is open. */
export function useComparedRuns(runIds: readonly string[]): readonly LiveRun[] {
  const known = useRef(new Map<string, LiveRun>());
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const lives = runIds.map((runId) => {
    const live = known.current.get(runId) ?? new LiveRun(runId, () => draw(undefined));
    known.current.set(runId, live);
    return live;
  });
  useEffect(() => {
    const ended = new AbortController();
    void lookInTurn(lives, ended.signal);
    return () => {
      ended.abort();
      for (const live of lives) live.close();
    };
  }, [runIds.join(" ")]);
  return lives;
}

async function lookInTurn(lives: readonly LiveRun[], signal: AbortSignal): Promise<void> {
  while (!lives.every(({ isOver }) => isOver)) {
    for (const live of lives) {
      if (signal.aborted) return;
      if (!live.isOver && !document.hidden) await live.look();
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
