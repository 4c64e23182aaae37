import type { MembersTable } from "../../members/ports.js";
import type { Database } from "./database.js";
import * as membership from "./membership.js";

/** The members' table in PostgreSQL. `database`: for it alone, with at least two connections, so that nothing delays a renewal. */
export const postgresMembers = (database: Database): MembersTable => ({
  join: (member, leaseMs, check) =>
    database.transaction(async (sql) => {
      check(await membership.members(sql));
      return membership.join(sql, member, leaseMs);
    }),
  moveTo: (id, address) =>
    database.transaction(async (sql) => {
      await membership.moveTo(sql, id, address);
      await membership.tellMembers(sql, id);
    }),
  renew: (id, leaseMs, signal) => membership.renew(database, id, leaseMs, signal),
  members: () => membership.members(database.sql),
  endExpired: (except) =>
    database.transaction(async (sql) => {
      const ended = await membership.endExpired(sql, except);
      if (ended.length > 0) await membership.tellMembers(sql, except);
      return ended;
    }),
  forget: (olderThanMs) => membership.forgetMembers(database.sql, olderThanMs),
  owners: () => membership.owners(database.sql),
  takeRuns: (id, limit) => database.transaction((sql) => membership.takeRuns(sql, id, limit)),
  holdPublisher: (id) => membership.holdPublisher(database.sql, id),
  giveUpRuns: (id, runIds) => database.transaction((sql) => membership.giveUpRuns(sql, id, runIds)),
  giveUpAllRuns: (id, patienceMs) => database.transaction((sql) => membership.giveUpRuns(sql, id), { patienceMs }),
  leave: (id, patienceMs) => database.transaction((sql) => membership.leave(sql, id), { patienceMs }),
  listen: (onTold, signal) => database.listen(membership.MEMBERS_CHANNEL, onTold, onTold, signal),
});
