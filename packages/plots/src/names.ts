/** What there is a picture of; also the names of its files, less their endings. */
export const PLOTS = ["loss", "learning-rate", "throughput"] as const;
export type PlotName = (typeof PLOTS)[number];
