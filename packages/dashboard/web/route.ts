/** The part of the URL after "#": a page, and what it shows of it. A link to it shows the same to others. */
import { useEffect, useState } from "preact/hooks";

export interface Route {
  /** Such as "/runs/ID". */
  path: string;
  /** Filters, selected runs and smoothing. */
  query: URLSearchParams;
}

/** As of "#/?state=running&tag=a". */
export function routeOf(hash: string): Route {
  const [, path = "", query = ""] = /^#?([^?]*)\??(.*)$/s.exec(hash) ?? [];
  return { path: path || "/", query: new URLSearchParams(query) };
}

export function hrefOf(path: string, query = new URLSearchParams()): string {
  const text = query.toString();
  return `#${path}${text && `?${text}`}`;
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const onChange = () => setHash(location.hash);
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return routeOf(hash);
}

/** Changes what the page shows. It remains one page in the browser's history. */
export function changeQuery(change: (query: URLSearchParams) => void): void {
  const { path, query } = routeOf(location.hash);
  change(query);
  history.replaceState(null, "", hrefOf(path, query));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Sets all values of a name; none: removes it. */
export function setAll(query: URLSearchParams, name: string, values: readonly string[]): void {
  query.delete(name);
  for (const value of values) query.append(name, value);
}
