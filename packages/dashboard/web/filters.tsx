/** What narrows the list of runs. The URL has it, so that a link shows the same list. */
import { useId } from "preact/hooks";
import { changeQuery } from "./route.js";
import { ENDED, isFilter, putFilter, UNFINISHED, type RunFilter } from "./run-filter.js";

/** Bounds of the contract. */
const MAX_NAME = 128;
const MAX_TAGS = 20;

export const setFilter = (filter: RunFilter): void => changeQuery((query) => putFilter(query, filter));

export function clearFilter(): void {
  setFilter({ name: "", tags: [], states: [] });
  focusFilters();
}

/** For buttons that vanish when they are pressed. */
export const focusFilters = () => document.querySelector<HTMLElement>("input[type=search]")?.focus();

/** Adds tags to those that a run must have. */
export const withTags = (filter: RunFilter, ...tags: readonly string[]): RunFilter => ({
  ...filter,
  tags: [...new Set([...filter.tags, ...tags])].slice(0, MAX_TAGS),
});

interface FiltersProps {
  filter: RunFilter;
  /** Tags to suggest. */
  knownTags: readonly string[];
}

export function Filters({ filter, knownTags }: FiltersProps) {
  const { name, states } = filter;
  const toggle = (state: string) =>
    setFilter({
      ...filter,
      states: states.includes(state) ? states.filter((other) => other !== state) : [...states, state],
    });
  return (
    <form class="filters" role="search" aria-label="filter runs" onSubmit={(event) => event.preventDefault()}>
      <label class="field">
        Name
        <input
          type="search"
          value={name}
          maxLength={MAX_NAME}
          placeholder="any"
          onInput={({ currentTarget }) => setFilter({ ...filter, name: currentTarget.value })}
        />
      </label>
      <TagField {...{ filter, knownTags }} />
      <fieldset>
        <legend>State</legend>
        {[...UNFINISHED, ...ENDED].map((state) => (
          <label class="choice" key={state}>
            <input type="checkbox" checked={states.includes(state)} onChange={() => toggle(state)} />
            {state}
          </label>
        ))}
      </fieldset>
    </form>
  );
}

/** The tags that are filtered by, and the way back to all runs. */
export function ActiveFilters({ filter }: { filter: RunFilter }) {
  const { tags } = filter;
  return (
    <div class="tags">
      {tags.map((tag) => (
        <button
          type="button"
          class="tag on"
          key={tag}
          aria-label={`${tag} ×: no longer only runs with this tag`}
          onClick={() => {
            setFilter({ ...filter, tags: tags.filter((other) => other !== tag) });
            focusFilters();
          }}
        >
          {tag} ×
        </button>
      ))}
      {isFilter(filter) && (
        <button type="button" class="plain" onClick={clearFilter}>
          Clear filters
        </button>
      )}
    </div>
  );
}

/** Adds tags, separated by commas, on enter, and a suggested one as soon as it is chosen. */
function TagField({ filter, knownTags }: FiltersProps) {
  const id = useId();
  const offered = knownTags.filter((tag) => !filter.tags.includes(tag));
  const add = (input: HTMLInputElement) => {
    const tags = input.value.split(",").map((tag) => tag.trim());
    input.value = "";
    setFilter(withTags(filter, ...tags.filter((tag) => tag !== "")));
  };
  return (
    <label class="field">
      Tag
      <input
        list={id}
        placeholder="any; Enter adds it"
        onKeyDown={(event) => event.key === "Enter" && add(event.currentTarget)}
        onInput={({ currentTarget }) => offered.includes(currentTarget.value) && add(currentTarget)}
      />
      <datalist id={id}>
        {offered.map((tag) => (
          <option key={tag} value={tag} />
        ))}
      </datalist>
    </label>
  );
}
