/** What narrows the list of runs. The URL has it, so that a link shows the same list. */
import { useId } from "preact/hooks";
import { changeQuery } from "./route.js";
import { ENDED, isFilter, putFilter, UNFINISHED, type RunFilter } from "./run-filter.js";

/** Bounds of the contract. */
const MAX_NAME = 128;
const MAX_TAGS = 20;

export const setFilter = (filter: RunFilter): void => changeQuery((query) => putFilter(query, filter));

export const clearFilter = (): void => setFilter({ name: "", tags: [], states: [] });

/** Adds a tag to those that a run must have. */
export const withTag = (filter: RunFilter, tag: string): RunFilter => ({
  ...filter,
  tags: filter.tags.includes(tag) ? filter.tags : [...filter.tags, tag].slice(-MAX_TAGS),
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
          onClick={() => setFilter({ ...filter, tags: tags.filter((other) => other !== tag) })}
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

/** Adds a tag on enter, or as soon as a suggested one is chosen. */
function TagField({ filter, knownTags }: FiltersProps) {
  const id = useId();
  const offered = knownTags.filter((tag) => !filter.tags.includes(tag));
  const add = (input: HTMLInputElement) => {
    const tag = input.value.trim();
    input.value = "";
    if (tag !== "") setFilter(withTag(filter, tag));
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
