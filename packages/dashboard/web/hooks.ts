/** Hooks that fetch what the pages show. */
import { useEffect, useReducer, useState } from "preact/hooks";
import { get } from "./api.js";
import { LiveRun } from "./live-run.js";

export interface Polled<T> {
  data?: T;
  /** Why there is no newer answer; empty: it is current. */
  problem: string;
  /** Refreshes at once. */
  again: () => void;
}

/** The latest answer to a GET, repeated every `everyMs` while the page is visible. */
export function usePolled<T>(path: string, everyMs: number): Polled<T> {
  const [state, setState] = useState<{ data?: T; problem: string }>({ problem: "" });
  const [turn, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
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
    setLive(followed);
    return () => followed.close();
  }, [runId]);
  return live;
}

/** The part of the URL after "#". */
export function useRoute(): string {
  const [route, setRoute] = useState(location.hash.slice(1));
  useEffect(() => {
    const onChange = () => setRoute(location.hash.slice(1));
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return route || "/";
}
