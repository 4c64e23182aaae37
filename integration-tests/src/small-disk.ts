import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

/** A file system of its own with so many KiB, mounted at `path` until disposed; undefined where that is not allowed. */
export function smallDisk(
  path: string,
  kib: number,
): (Disposable & { remount(option: "ro" | "rw"): void }) | undefined {
  mkdirSync(path, { recursive: true });
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "ignore" });
  try {
    run("mount", "-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", path);
  } catch {
    return undefined;
  }
  return {
    remount: (option) => run("mount", "-o", `remount,${option}`, path),
    [Symbol.dispose]: () => run("umount", "--lazy", path),
  };
}
