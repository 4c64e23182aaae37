/** Jinja2's filters, by name. */
import { collectionFilters } from "./filters-collections.js";
import type { Filter } from "./filter-names.js";
import { FILTER_NAMES } from "./filter-names.js";
import { selectionFilters } from "./filters-selection.js";
import { textFilters } from "./filters-text.js";
import { valueFilters } from "./filters-values.js";

export const FILTERS: ReadonlyMap<string, Filter> = new Map(
  [textFilters, valueFilters, collectionFilters, selectionFilters].flatMap((filters) => [...filters]),
);

for (const name of FILTERS.keys()) FILTER_NAMES.add(name);
