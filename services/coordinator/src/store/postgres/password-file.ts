/** Passwords as libpq keeps them (https://www.postgresql.org/docs/current/libpq-pgpass.html). */
import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What a line of the file is about; "*" in the file stands for all. */
export interface PasswordOwner {
  host: string;
  port: number;
  database: string;
  user: string;
}

/**
 * The password in the file, ~/.pgpass by default; undefined: it has none. As with libpq, a file that others may read is
 * ignored.
 */
export function passwordIn(file: string | undefined, owner: PasswordOwner): string | undefined {
  const path = file ?? join(homedir(), ".pgpass");
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) return undefined;
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  // The host of a Unix socket is called localhost there.
  const host = owner.host.startsWith("/") ? "localhost" : owner.host;
  const wanted = [host, String(owner.port), owner.database, owner.user];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const fields = [...line.matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map(([, field = ""]) =>
      field.replace(/\\(.)/g, "$1"),
    );
    if (fields.length > 4 && wanted.every((value, i) => fields[i] === "*" || fields[i] === value)) return fields[4];
  }
  return undefined;
}
