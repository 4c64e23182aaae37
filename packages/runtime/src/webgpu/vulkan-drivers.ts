/** Vulkan drivers as its loader finds them (Vulkan-Loader, LoaderDriverInterface.md, "Driver Discovery on Linux"). */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";

export interface VulkanDriver {
  /** JSON file that names the library. */
  manifest: string;
  /** What the library's file name begins with, such as "libvulkan_intel.so". */
  libraryPrefix: string;
}

export async function vulkanDrivers(env: NodeJS.ProcessEnv): Promise<VulkanDriver[]> {
  const named = namedDrivers(env);
  const places = named ? named.split(":").filter(Boolean) : usualFolders(env);
  const manifests = (await Promise.all(places.map(manifestsAt))).flat();
  const drivers: VulkanDriver[] = [];
  for (const manifest of new Set(manifests)) {
    const libraryPrefix = await libraryOf(manifest);
    // Several manifests may name one library.
    if (libraryPrefix !== undefined && !drivers.some((driver) => driver.libraryPrefix === libraryPrefix)) {
      drivers.push({ manifest, libraryPrefix });
    }
  }
  return drivers;
}

/** Whether there can be a GPU: without the kernel's device of one there is none, unless somebody names drivers. */
export async function mayHaveVulkanGpu(env: NodeJS.ProcessEnv, devices = "/dev"): Promise<boolean> {
  if (namedDrivers(env)) return true;
  const [here, rendering] = await Promise.all([names(devices), names(join(devices, "dri"))]);
  // NVIDIA's and, in WSL, that of Windows; all others.
  return here.some((name) => name === "nvidiactl" || name === "dxg") || rendering.some((name) => /^renderD/.test(name));
}

const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

const namedDrivers = (env: NodeJS.ProcessEnv): string => env["VK_DRIVER_FILES"] || env["VK_ICD_FILENAMES"] || "";

function usualFolders(env: NodeJS.ProcessEnv): string[] {
  const home = env["HOME"] ?? "";
  const configs = [
    env["XDG_CONFIG_HOME"] || join(home, ".config"),
    ...listed(env["XDG_CONFIG_DIRS"], "/etc/xdg"),
    "/etc",
  ];
  const data = [env["XDG_DATA_HOME"] || join(home, ".local/share")];
  const folders = [...configs, ...data, ...listed(env["XDG_DATA_DIRS"], "/usr/local/share:/usr/share")];
  return folders.map((folder) => join(folder, "vulkan/icd.d"));
}

const listed = (value: string | undefined, otherwise: string) => (value || otherwise).split(":").filter(Boolean);

async function manifestsAt(place: string): Promise<string[]> {
  if ((await stat(place).catch(() => undefined))?.isFile()) return [place];
  const manifests = (await names(place)).filter((file) => file.endsWith(".json")).sort();
  return manifests.map((file) => join(place, file));
}

/** Undefined for what is not a driver's manifest. */
async function libraryOf(manifest: string): Promise<string | undefined> {
  const text = await readFile(manifest, "utf8").catch(() => "");
  const path = /"library_path"\s*:\s*"([^"]+)"/.exec(text)?.[1];
  return path === undefined ? undefined : /^.*?\.so/.exec(basename(path))?.[0];
}
