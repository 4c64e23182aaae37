/** A dry run stops after this many rows and steps. */
export const DRY_RUN_ROWS = 500;
export const DRY_RUN_STEPS = 200;

/** What the spec of a run says that starts from scratch, is not evaluated or reported, and has no name. */
export const NEW_START = {
  resumeFrom: "",
  resumeIfExists: false,
  resumeWeightsOnly: false,
  overwriteOutputDir: false,
  evalDataset: [] as string[],
  runName: "",
  tags: [] as string[],
  reportTo: [] as string[],
};
