/**
 * Tries its share of the damages of one kind. In a worker, since the test runner follows every promise of
 * its own thread, which takes as long as the checks themselves.
 */
import { parentPort, workerData } from "node:worker_threads";
import { LocalFolders } from "../src/local-folders.js";
import { OutputStore } from "../src/output-store.js";
import { DamagedFileSystem } from "./damaged-file-system.js";
import { assertNoticed, damages, type DamageKind } from "./damages.js";
import { LOG } from "./support.js";

export interface DamageShare {
  outputDir: string;
  /** Of the checkpoint to damage. */
  paths: string[];
  kind: DamageKind;
  /** Every `shares`-th damage, from the `share`-th on. */
  share: number;
  shares: number;
}

const { outputDir, paths, kind, share, shares } = workerData as DamageShare;
const fs = new DamagedFileSystem(outputDir);
const store = new OutputStore(new LocalFolders(fs), () => new Date(0), LOG);
const files = new Map(paths.map((path) => [path, fs.original(path)]));
let index = 0;
let tried = 0;
for (const damage of damages(kind, files)) {
  if (index++ % shares !== share) continue;
  fs.damage(damage.path, damage.bytes);
  await assertNoticed(store, outputDir, damage);
  tried++;
}
parentPort?.postMessage(tried);
