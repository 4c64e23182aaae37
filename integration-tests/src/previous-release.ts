/** A release of gradpool before this one, built from the repository's history, to run beside it. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CHECKOUT } from "./stack.js";

const run = promisify(execFile);

/** The newest release whose coordinators share a pool. Until one has a tag: the first commit that has it all. */
const PREVIOUS = "a4b5d6d994d0";

/** `skip`: why tests with it cannot run here; false when they can. */
export async function hasPreviousRelease(): Promise<{ skip: string | false }> {
  const isThere = await run("git", ["cat-file", "-e", `${PREVIOUS}^{commit}`], { cwd: CHECKOUT }).then(
    () => true,
    () => false,
  );
  return { skip: isThere ? false : `commit ${PREVIOUS} is not in this clone: git fetch --unshallow` };
}

/** Its own coordinator and trainer, with today's dependencies. */
export class PreviousRelease implements AsyncDisposable {
  readonly checkout: string;

  private constructor(checkout: string) {
    this.checkout = checkout;
  }

  /** Takes a minute: everything is compiled. */
  static async build(): Promise<PreviousRelease> {
    const release = new PreviousRelease(await mkdtemp(join(tmpdir(), "gradpool-previous-")));
    const { checkout } = release;
    try {
      await run("sh", ["-c", 'git archive "$1" | tar -x -C "$2"', "sh", PREVIOUS, checkout], { cwd: CHECKOUT });
      await release.#linkDependencies();
      await run("npx", ["tsc", "-b", "services/coordinator", "services/trainer"], { cwd: checkout });
      for (const service of ["coordinator", "trainer"]) {
        // As they are compiled: bundles would need its node_modules.
        const programs = join(checkout, "services", service, "dist/bin");
        await mkdir(programs, { recursive: true });
        await writeFile(join(programs, "main.js"), 'import "../src/main.js";\n');
      }
      return release;
    } catch (error) {
      await release[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.checkout, { recursive: true, force: true });
  }

  /** Links of this project's own packages must lead to those of the release. */
  async #linkDependencies(): Promise<void> {
    const [here, there] = [CHECKOUT, this.checkout].map((root) => join(root, "node_modules")) as [string, string];
    await mkdir(join(there, "@gradpool"), { recursive: true });
    const others = (await readdir(here)).filter((name) => name !== "@gradpool" && name !== ".package-lock.json");
    await Promise.all(others.map((name) => symlink(join(here, name), join(there, name))));
    for (const group of ["packages", "services"]) {
      for (const name of await readdir(join(this.checkout, group)))
        await symlink(join("../..", group, name), join(there, "@gradpool", name));
    }
    await symlink("../../integration-tests", join(there, "@gradpool/integration-tests"));
  }
}
