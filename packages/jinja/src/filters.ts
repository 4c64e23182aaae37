/** Jinja2's filters, by name. */
import { collectionFilters } from "./filters-collections.js";
import { selectionFilters } from "./filters-selection.js";
import { textFilters } from "./filters-text.js";
import { valueFilters } from "./filters-values.js";
import type { Filter } from "./values.js";

export const FILTERS: ReadonlyMap<string, Filter> = new Map(
  [textFilters, valueFilters, collectionFilters, selectionFilters].flatMap((filters) => [...filters]),
);
