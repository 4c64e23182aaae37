import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

export interface SmallDisk extends Disposable {
  /** Makes it read-only or writable, once no file is being written. */
  remount(option: "ro" | "rw"): Promise<void>;
}

/** A file system of its own with so many KiB, mounted at `path` until disposed; undefined where that is not allowed. */
export function smallDisk(path: string, kib: number): SmallDisk | undefined {
  mkdirSync(path, { recursive: true });
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "ignore" });
  try {
    run("mount", "-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", path);
  } catch {
    return undefined;
  }
  return {
    async remount(option) {
      for (;;) {
        try {
          run("mount", "-o", `remount,${option}`, path);
          return;
        } catch {
          // Somebody has a file open for writing.
          await delay(10);
        }
      }
    },
    [Symbol.dispose]: () => run("umount", "--lazy", path),
  };
}
