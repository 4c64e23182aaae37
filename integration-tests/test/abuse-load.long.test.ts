/**
 * Callers that open much and finish nothing, one row for each weakness: what the coordinator holds for them is bounded, and an
 * honest run beside them makes steps and is answered for as quickly as before. The bounds themselves, and how each ends, are
 * tested in packages/rpc/test/server-limits.test.ts.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { BackUpRequest, WatchEventsRequest, WatchRunRequest } from "@gradpool/rpc";
import { HonestRun, residentBytes } from "../src/honest-run.js";
import { Crowd, LocalPool, Workspace } from "../src/index.js";

const MIB = 1 << 20;

/** A tenth of what docs/numbers.md has figures of. */
const TRAINERS = Number(process.env["GRADPOOL_TEST_TRAINERS"] ?? 200);

describe("callers that finish nothing", { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let pool: LocalPool;
  let honest: HonestRun;
  let crowd: Crowd;
  const open: (Socket | ClientHttp2Session)[] = [];

  before(async () => {
    workspace = await Workspace.create();
    pool = await LocalPool.start(workspace.path("home"), ["--trainers", "1", "--threads", "1"]);
    honest = await HonestRun.start(pool, workspace);
    crowd = new Crowd(pool.address, pool.key);
  });

  after(async () => {
    await honest[Symbol.asyncDispose]();
    await crowd[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  const pid = () => pool.services.find(({ name }) => name === "coordinator")?.pid ?? 0;

  async function leave(): Promise<void> {
    await crowd.leave();
    for (const one of open.splice(0)) {
      const closed = new Promise((resolve) => one.once("close", resolve));
      const isOpen = !one.destroyed;
      one.destroy();
      if (isOpen) await closed;
    }
  }

  /** Connections of bytes, each of which is there. */
  async function sockets(count: number): Promise<void> {
    const [host = "", port = ""] = pool.address.split(":");
    const connecting = Array.from({ length: count }, () => {
      const socket = connect(Number(port), host).on("error", () => {});
      open.push(socket);
      return new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    });
    await Promise.all(connecting);
  }

  /** Calls with the key on a connection of their own, which are never read, and begun with `bytes`. */
  async function calls(paths: readonly string[], bytes?: Buffer, isWhole = false): Promise<void> {
    const session = connectHttp2(`http://${pool.address}`).on("error", () => {});
    open.push(session);
    await once(session, "remoteSettings");
    for (const path of paths) {
      const stream: ClientHttp2Stream = session.request({
        ...{ ":method": "POST", ":path": `/gradpool.v1.${path}`, "content-type": "application/grpc", te: "trailers" },
        authorization: `Bearer ${pool.key.reveal()}`,
      });
      stream.on("error", () => {}).pause();
      if (isWhole) stream.end(bytes);
      else if (bytes) stream.write(bytes);
    }
    // An answer to a ping comes after all that was sent before it.
    await new Promise((resolve) => session.ping(resolve));
  }

  /** The first bytes of a message. */
  function partOf(sizeBytes: number, content: Uint8Array): Buffer {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(sizeBytes, 1);
    return Buffer.concat([prefix, content]);
  }

  const times = (count: number, path: string) => Array.from({ length: count }, () => path);

  const ROWS: { weakness: string; begin: () => Promise<void>; mayHoldBytes: number }[] = [
    { weakness: "1,000 silent connections", begin: () => sockets(1_000), mayHoldBytes: 64 * MIB },
    {
      weakness: "1,000 calls without a message",
      begin: () => calls(times(1_000, "TrainerGatewayService/Work")),
      mayHoldBytes: 64 * MIB,
    },
    {
      weakness: "100 messages that are half there",
      begin: () => calls(times(100, "TrainerGatewayService/PushResult"), partOf(2 * MIB, Buffer.alloc(2 * MIB - 1))),
      mayHoldBytes: 64 * MIB,
    },
    {
      weakness: "8 streams that nobody reads",
      begin: async () => {
        const watch = WatchRunRequest.encode({ runId: honest.runId, afterStep: 0 }).finish();
        const events = WatchEventsRequest.encode(WatchEventsRequest.create({ follow: true })).finish();
        const backUp = BackUpRequest.encode({}).finish();
        await calls(times(4, "RunService/WatchRun"), partOf(watch.byteLength, watch), true);
        await calls(times(3, "EventService/WatchEvents"), partOf(events.byteLength, events), true);
        await calls(["PoolService/BackUp"], partOf(backUp.byteLength, backUp), true);
      },
      mayHoldBytes: 64 * MIB,
    },
    {
      weakness: `${TRAINERS} trainers that join and leave`,
      begin: async () => {
        await crowd.join(TRAINERS, 5);
        await crowd.leave(5);
      },
      mayHoldBytes: 192 * MIB,
    },
  ];

  for (const { weakness, begin, mayHoldBytes } of ROWS) {
    test(weakness, async () => {
      const before = residentBytes(pid());
      let held = 0;
      let isBegun = false;
      const work = async () => {
        if (!isBegun) await begin();
        isBegun = true;
        held = Math.max(held, residentBytes(pid()) - before);
        await new Promise((resolve) => setTimeout(resolve, 10));
      };
      await honest.beside(work, async () => {
        await leave();
        isBegun = false;
      });
      console.log(`${weakness}: ${(held / MIB).toFixed(0)} MiB more`);
      assert.ok(held < mayHoldBytes, `${held} bytes`);
    });
  }
});
