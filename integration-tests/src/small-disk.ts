import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

export interface SmallDisk extends Disposable {
  /** Makes it read-only or writable again, once no file is being written. */
  remount(option: "ro" | "rw"): Promise<void>;
}

/** A separate file system of this many KiB, mounted at `path` until disposed; undefined if mounting is not allowed. */
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
          // A file is open for writing.
          await delay(10);
        }
      }
    },
    [Symbol.dispose]: () => run("umount", "--lazy", path),
  };
}
