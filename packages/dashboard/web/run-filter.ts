/** Which runs the list shows, as the URL has it and as the API is asked. */
import { setAll } from "./route.js";

export const UNFINISHED = ["queued", "preparing", "running", "paused"];
export const ENDED = ["completed", "failed", "cancelled"];

export interface RunFilter {
  /** Part of the name; empty: all. */
  name: string;
  /** A run has all of them. */
  tags: readonly string[];
  /** A run is in one of them; none: all. */
  states: readonly string[];
}

export function filterIn(query: URLSearchParams): RunFilter {
  const states = [...UNFINISHED, ...ENDED].filter((state) => query.getAll("state").includes(state));
  const tags = [...new Set(query.getAll("tag").filter((tag) => tag !== ""))];
  return { name: query.get("name") ?? "", tags, states };
}

export function putFilter(query: URLSearchParams, { name, tags, states }: RunFilter): void {
  setAll(query, "name", name === "" ? [] : [name]);
  setAll(query, "tag", tags);
  setAll(query, "state", states);
}

export const isFilter = ({ name, tags, states }: RunFilter): boolean => name !== "" || tags.length + states.length > 0;

/** Path of ListRuns for those of the states `among` that the filter wants; undefined: it wants none of them. */
export function listPath(filter: RunFilter, among: readonly string[], pageSize: number): string | undefined {
  const states = filter.states.length === 0 ? among : among.filter((state) => filter.states.includes(state));
  if (states.length === 0) return undefined;
  const query = new URLSearchParams({ view: "RUN_VIEW_BASIC", page_size: String(pageSize) });
  for (const state of states) query.append("states", `RUN_STATE_${state.toUpperCase()}`);
  if (filter.name !== "") query.set("run_name", filter.name);
  for (const tag of filter.tags) query.append("tags", tag);
  return `/api/runs?${query}`;
}

/** Selected runs, as the URL has them. */
export const selectedIn = (query: URLSearchParams): string[] => [...new Set(query.getAll("run"))];
