/** Parts that all pages share. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { visible } from "@gradpool/format";
import { localTime } from "./format.js";
import { stateName } from "./messages.js";

interface PageProps {
  title: string;
  /** Why the page is out of date; empty: it is current. */
  problem: string;
  isLoading: boolean;
  children: ComponentChildren;
}

/** The heading takes the focus, so that a screen reader announces the page. */
export function Page({ title, problem, isLoading, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = visible(`${title} · gradpool`);
  }, [title]);
  useEffect(() => {
    if (document.activeElement !== document.body || history.length > 1) heading.current?.focus();
  }, []);
  return (
    <main id="main">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      <p role="alert" class="problem">
        {problem}
      </p>
      {isLoading ? !problem && <p class="empty">loading</p> : children}
    </main>
  );
}

/** Shown by word and by colour. */
export function State({ of }: { of: string | undefined }) {
  const name = stateName(of);
  return <span class={`state ${name}`}>{name}</span>;
}

/** A path or a name on the hub, which may break after its slashes. */
export function Path({ of = "" }: { of: string | undefined }) {
  return (
    <>
      {of.split(/(?<=\/)/).map((part) => (
        <>
          {part}
          <wbr />
        </>
      ))}
    </>
  );
}

/** Local time, on one line or two. */
export function Time({ of }: { of: string | undefined }) {
  const [day, time] = localTime(of).split(" ");
  return (
    <>
      <span class="number">{day}</span> <span class="number">{time}</span>
    </>
  );
}

interface TableProps {
  label: string;
  head: readonly string[];
  /** Columns that narrow screens hide; their cells have the class "optional". */
  optional?: readonly string[];
  /** Columns whose heads are read out, but not shown. */
  unheaded?: readonly string[];
  children: ComponentChildren;
}

/** Wide tables scroll within the page, also by keyboard. */
export function Table({ label, head, optional = [], unheaded = [], children }: TableProps) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`table of ${label}`}>
      <table>
        <thead>
          <tr>
            {head.map((name) => (
              <th scope="col" key={name} class={optional.includes(name) ? "optional" : ""}>
                {unheaded.includes(name) ? <span class="hidden">{name}</span> : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Names and their values. */
export function Facts({ of }: { of: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
