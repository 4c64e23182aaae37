import { rootsOf, type Roots } from "@gradpool/access";

interface Stack {
  /** Undefined: nobody gave it an address, and it has one caller. */
  listen?: string | undefined;
  home: string;
  env?: NodeJS.ProcessEnv | undefined;
  note?: ((text: string) => void) | undefined;
}

/** What the runs of a stack may name: for all its services by the address of the one that others call. Errors: those of rootsOf. */
export function stackRoots({ listen, home, env = process.env, note }: Stack): Roots {
  if (listen === undefined) return undefined;
  const { roots, isChosen } = rootsOf({ ...env, GRADPOOL_HOME: home }, listen);
  if (roots && !isChosen) {
    const shared = roots.join();
    note?.(
      `other machines can reach this pool: its runs may use files in ${shared} alone; GRADPOOL_ROOTS allows others`,
    );
  }
  return roots;
}
