/** An adapter that PEFT or gradpool saved, to start from. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { checkInRoots, type Roots } from "@gradpool/access";
import { adapterOf, parseAdapterConfig, readAdapter, type AdaptedModule, type AdapterTensors } from "@gradpool/adapter";
import { GradpoolError, parseJson, tooManyOpenFiles } from "@gradpool/errors";
import { readRegularFile, TORCH_ADAPTER, torchAdapter } from "@gradpool/model-source";
import type { CheckedRecipe } from "@gradpool/recipe";
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE } from "@gradpool/run-folder";

/** The recipe's init_adapter. Errors: `not_found`, `data_loss`; `invalid_argument` where its settings are not the recipe's; those of checkInRoots. */
export async function givenAdapter(
  { r, alpha, useRslora, useDora, rankPattern, alphaPattern, initAdapter: folder }: CheckedRecipe["lora"],
  targets: readonly AdaptedModule[],
  roots?: Roots,
): Promise<AdapterTensors> {
  const read = async (name: string) => {
    await checkInRoots(join(folder, name), roots, "init_adapter:");
    return readAdapterFile(folder, name);
  };
  const config = parseAdapterConfig(adapterJson(await read(ADAPTER_CONFIG_FILE), folder));
  const same = (flag: string, its: number | boolean | string, ours: number | boolean | string) => {
    if (its === ours) return;
    refuse(`init_adapter ${folder} has ${flag} ${its}, but the recipe ${ours}; give --${flag} ${its}`);
  };
  same("lora_r", config.r, r);
  same("lora_alpha", config.alpha, alpha);
  same("use_rslora", config.useRslora, useRslora);
  same("use_dora", config.useDora, useDora);
  same("rank_pattern", patternText(config.rankPattern), patternText(rankPattern));
  same("alpha_pattern", patternText(config.alphaPattern), patternText(alphaPattern));
  const isThere = (name: string) =>
    access(join(folder, name)).then(
      () => true,
      () => false,
    );
  if (!(await isThere(ADAPTER_FILE)) && (await isThere(TORCH_ADAPTER))) {
    const file = await read(TORCH_ADAPTER);
    return adapterOf(await torchAdapter(file, join(folder, TORCH_ADAPTER)), targets, r);
  }
  return readAdapter(await read(ADAPTER_FILE), targets, r, join(folder, ADAPTER_FILE));
}

/** As the command line takes it, in one order: PEFT sorts them when it saves. */
const patternText = (patterns: Readonly<Record<string, number>>) =>
  Object.entries(patterns)
    .map(([pattern, value]) => `${pattern}=${value}`)
    .sort()
    .join(",");

/** Far more than any adapter has; a buffer can hold it. */
const MAX_ADAPTER_BYTES = 2 ** 32;
const MAX_CONFIG_BYTES = 10_000_000;

async function readAdapterFile(folder: string, file: string): Promise<Uint8Array> {
  try {
    return await readRegularFile(
      join(folder, file),
      file === ADAPTER_CONFIG_FILE ? MAX_CONFIG_BYTES : MAX_ADAPTER_BYTES,
    );
  } catch (cause) {
    const shortage = tooManyOpenFiles(cause, join(folder, file));
    if (shortage) throw shortage;
    const message = `init_adapter: ${join(folder, file)} cannot be read; give a folder that PEFT or gradpool saved`;
    throw new GradpoolError("not_found", message, { cause });
  }
}

function adapterJson(text: Uint8Array, folder: string): unknown {
  try {
    return parseJson(Buffer.from(text).toString("utf8"));
  } catch (cause) {
    const message = `init_adapter: ${join(folder, ADAPTER_CONFIG_FILE)} is not valid JSON; save the adapter again`;
    throw new GradpoolError("data_loss", message, { cause });
  }
}

function refuse(message: string): never {
  throw new GradpoolError("invalid_argument", message);
}
