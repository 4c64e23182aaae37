/** A process that opens the model named first, with the home folder named second, and tells its hash. */
import { modelPlaces } from "@gradpool/hub";
import { openModel } from "@gradpool/model-source";

const [, , modelId, home] = process.argv;
const { modelHash } = await openModel(modelId ?? "", home ? modelPlaces({ GRADPOOL_HOME: home }) : undefined);
process.send?.(modelHash, () => process.disconnect());
