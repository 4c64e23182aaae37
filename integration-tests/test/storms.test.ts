/**
 * Storms over three coordinators, PostgreSQL with a standby, a NATS cluster and four trainers: kills, pauses, cut and slow networks, lost
 * and full disks. Whatever happens, each run has a quiet run's bytes, and each event happened once (I2 to I6).
 */
import { before, describe, test } from "node:test";
import {
  deployTool,
  postgresPrograms,
  quietFingerprint,
  Storm,
  tinyRun,
  Workspace,
  type Fingerprint,
} from "@gradpool/integration-tests";

/** GRADPOOL_STORM_SEEDS="1 2 3": whole storms of these seeds, instead of a short one. */
const SEEDS = process.env["GRADPOOL_STORM_SEEDS"]?.split(" ").map(Number);
const SHORT = { seed: 1, disturbances: 3 };

const tools = await Promise.all([postgresPrograms(), deployTool("nats-server"), deployTool("versitygw")]);
const skip = tools.map(({ skip }) => skip).find(Boolean) ?? false;

describe("storms", { skip }, () => {
  let workspace: Workspace;
  let dataset: string;
  let quiet: Fingerprint;
  const spec = (outputDir: string) =>
    tinyRun(dataset, outputDir, { epochs: 2, gradientAccumulation: 2, packing: true, saveEvery: 9 });

  before(async () => {
    workspace = await Workspace.create();
    dataset = await workspace.dataset(160);
    quiet = await quietFingerprint(workspace, spec(workspace.path("quiet")));
  });

  for (const storm of SEEDS?.map((seed) => ({ seed })) ?? [SHORT]) {
    test(`storm ${storm.seed}`, { timeout: 600_000 }, async (t) => {
      // Long ones are followed as they happen.
      await Storm.blow({ ...storm, spec, quiet, say: (text) => (SEEDS ? console.log(text) : t.diagnostic(text)) });
    });
  }
});
