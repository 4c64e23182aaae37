/** Control characters in what the page shows appear as escapes: text that others chose cannot reorder or hide what is beside it. */
import { options, type ComponentChildren } from "preact";
import { visible } from "@gradpool/format";

/** Attributes that are read out or shown. */
const SHOWN_ATTRIBUTES = ["title", "aria-label"];

/** From here on, for every element that is created. */
export function showControlCharacters(): void {
  const next = options.vnode;
  options.vnode = (vnode) => {
    const props = vnode.props as Record<string, unknown> | string;
    // A text, which was a child before.
    if (typeof props !== "object") return next?.(vnode);
    if ("children" in props) props["children"] = shown(props["children"] as ComponentChildren);
    for (const name of SHOWN_ATTRIBUTES) {
      const value = props[name];
      if (typeof value === "string") props[name] = visible(value);
    }
    next?.(vnode);
  };
}

function shown(children: ComponentChildren): ComponentChildren {
  if (typeof children === "string") return visible(children);
  return Array.isArray(children) ? (children as ComponentChildren[]).map(shown) : children;
}
