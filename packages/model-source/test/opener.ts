/** A process that opens the model named first, with the cache folder named second, and tells its hash. */
import { openModel } from "@gradpool/model-source";

const [, , modelId, cacheDir] = process.argv;
const { modelHash } = await openModel(modelId ?? "", cacheDir);
process.send?.(modelHash, () => process.disconnect());
