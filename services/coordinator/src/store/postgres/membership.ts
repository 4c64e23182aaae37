/**
 * The statements by which coordinators share a run store. A member is a process: a row with a lease by the database's clock.
 * Each run that has not ended has at most one owner, and an epoch that grows with each change of owner. Whoever took a
 * member's lease away has its runs: the member's next commit finds that it is not alive (run store's begin_commit).
 */
import { arrayOf, type Database, type Rows, type Sql } from "./database.js";

/** Members tell one another here that runs changed hands: whoever has room looks for runs without an owner. */
export const MEMBERS_CHANNEL = "gradpool_members";

export interface Member {
  id: string;
  /** "host:port" at which others reach it. */
  address: string;
  protocol: number;
}

export interface KnownMember extends Member {
  /** Its lease is over, and nobody has taken its runs yet. */
  isExpired: boolean;
}

/** A run that changed hands. */
export interface OwnedRun {
  runId: string;
  epoch: number;
}

/** A new member, with a lease. Returns its life: a number that no member had before. */
export async function join(sql: Sql, { id, address, protocol }: Member, leaseMs: number): Promise<number> {
  const [row] = await sql(
    `INSERT INTO gradpool.coordinators (id, address, protocol, expires_at)
     VALUES ($1, $2, $3, now() + $4::float8 * interval '1 millisecond') RETURNING life`,
    [id, address, protocol, leaseMs],
  );
  return Number(row?.["life"]);
}

/** Changes the address: a server knows its port once it listens. */
export async function moveTo(sql: Sql, id: string, address: string): Promise<void> {
  await sql("UPDATE gradpool.coordinators SET address = $2 WHERE id = $1", [id, address]);
}

/** Whether the lease is the member's still: one that expired is, until another member takes it away. */
export async function renew(database: Database, id: string, leaseMs: number, signal?: AbortSignal): Promise<boolean> {
  const rows = await database.query(
    `UPDATE gradpool.coordinators SET expires_at = now() + $2::float8 * interval '1 millisecond'
     WHERE id = $1 AND alive RETURNING id`,
    [id, leaseMs],
    { signal },
  );
  return rows.length > 0;
}

/** All members that are alive, by the order in which they joined. */
export async function members(sql: Sql): Promise<KnownMember[]> {
  const rows = await sql(
    "SELECT id, address, protocol, expires_at < now() AS expired FROM gradpool.coordinators WHERE alive ORDER BY life",
  );
  return rows.map((row) => ({
    ...{ id: String(row["id"]), address: String(row["address"]), protocol: Number(row["protocol"]) },
    isExpired: row["expired"] === true,
  }));
}

/** Ends the leases that are over, but for that of `except`: returns the members that are not alive from now on. */
export async function endExpired(sql: Sql, except: string): Promise<string[]> {
  const rows = await sql(
    `UPDATE gradpool.coordinators SET alive = false WHERE alive AND expires_at < now() AND id <> $1 RETURNING id`,
    [except],
  );
  return rows.map((row) => String(row["id"]));
}

/**
 * Gives a member up to `limit` runs that have not ended and whose owner is not alive, or that have none, in order of submission.
 * In a transaction: members that take at once do so one after the other.
 */
export async function takeRuns(sql: Sql, id: string, limit: number): Promise<OwnedRun[]> {
  const locked = sql("SELECT pg_advisory_xact_lock(hashtextextended('gradpool: runs without an owner', 0))");
  const rows = await sql(
    `UPDATE gradpool.runs SET owner = $1, epoch = epoch + 1 WHERE run_id IN (
       SELECT run_id FROM gradpool.runs AS r WHERE NOT ended AND NOT EXISTS (
         SELECT FROM gradpool.coordinators WHERE id = r.owner AND alive
       ) ORDER BY number LIMIT $2
     ) AND EXISTS (SELECT FROM gradpool.coordinators WHERE id = $1 AND alive) RETURNING run_id, epoch, number`,
    [id, limit],
  );
  await locked;
  const inOrder = [...rows].sort((a, b) => Number(a["number"]) - Number(b["number"]));
  return inOrder.map(ownedRun);
}

/** A member gives these runs up, or all that it has, and can still record other things. */
export async function giveUpRuns(sql: Sql, id: string, runIds?: readonly string[]): Promise<void> {
  const given = "UPDATE gradpool.runs SET owner = NULL WHERE owner = $1 AND NOT ended";
  if (runIds) await sql(`${given} AND run_id = ANY($2)`, [id, arrayOf(runIds)]);
  else await sql(given, [id]);
  await tellMembers(sql, id);
}

/** Of a member that was declared dead and says so itself: a number of commits that nobody has made. */
const SURVIVED = -1;

/** A member leaves: its runs have no owner, and others are told. */
export async function leave(sql: Sql, id: string): Promise<void> {
  await sql(
    `UPDATE gradpool.coordinators SET alive = false, expires_at = now(), commits = CASE WHEN alive THEN commits ELSE $2 END
     WHERE id = $1`,
    [id, SURVIVED],
  );
  await giveUpRuns(sql, id);
  await sql("UPDATE gradpool.publisher SET holder = NULL WHERE holder = $1", [id]);
}

/** The lives of members that lost their lease, but did not end. */
export async function survivors(sql: Sql): Promise<Set<number>> {
  const rows = await sql("SELECT life FROM gradpool.coordinators WHERE commits = $1", [SURVIVED]);
  return new Set(rows.map(({ life }) => Number(life)));
}

/** Others look at once who lives and which runs have no owner. */
export async function tellMembers(sql: Sql, id: string): Promise<void> {
  await sql("SELECT pg_notify($1, $2)", [MEMBERS_CHANNEL, id]);
}

/** The owners of all runs that have not ended; null: nobody. */
export async function owners(sql: Sql): Promise<(OwnedRun & { owner: string | null })[]> {
  const rows = await sql("SELECT run_id, epoch, owner FROM gradpool.runs WHERE NOT ended ORDER BY number");
  return rows.map((row) => ({ ...ownedRun(row), owner: row["owner"] === null ? null : String(row["owner"]) }));
}

/** Makes a member the one that publishes events, unless another that is alive does. Returns the epoch; undefined: another does. */
export async function holdPublisher(sql: Sql, id: string): Promise<number | undefined> {
  const [row] = await sql(
    `UPDATE gradpool.publisher SET holder = $1, epoch = epoch + CASE WHEN holder = $1 THEN 0 ELSE 1 END
     WHERE (holder = $1 OR NOT EXISTS (SELECT FROM gradpool.coordinators WHERE id = holder AND alive))
       AND EXISTS (SELECT FROM gradpool.coordinators WHERE id = $1 AND alive)
     RETURNING epoch`,
    [id],
  );
  return row && Number(row["epoch"]);
}

/** Members that ended long ago are forgotten. */
export async function forgetMembers(sql: Sql, olderThanMs: number): Promise<void> {
  await sql(
    `DELETE FROM gradpool.coordinators WHERE NOT alive AND expires_at < now() - $1::float8 * interval '1 millisecond'`,
    [olderThanMs],
  );
}

const ownedRun = (row: Rows[number]): OwnedRun => ({ runId: String(row["run_id"]), epoch: Number(row["epoch"]) });
