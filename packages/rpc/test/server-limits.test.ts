/** What a server accepts of those who leave connections, calls, messages and responses unfinished. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import type { GradpoolError } from "@gradpool/errors";
import {
  CheckpointStoreServiceService,
  createClient,
  LoadRequest,
  LoadResponse,
  PoolKey,
  service,
  startServer,
  type Handlers,
  type SaveRequest,
  type ServerLimits,
} from "@gradpool/rpc";
import { key, keyed } from "./key.js";

type StoreHandlers = Handlers<CheckpointStoreServiceService>;

const PATH = "/gradpool.v1.CheckpointStoreService/";
const MIB = 1 << 20;
const SAVED = { path: "saved", removed: [] };

async function serve(limits: Partial<ServerLimits>, handlers: Partial<StoreHandlers> = {}) {
  const unused = () => Promise.reject(new Error("not part of this test"));
  const all = {
    ...{ claim: unused, release: unused, save: unused, verify: unused, delete: unused },
    list: () => Promise.resolve({ checkpoints: [] }),
    load: async function* () {},
    ...handlers,
  } as unknown as StoreHandlers;
  const services = [service(CheckpointStoreServiceService, all)];
  const server = await startServer({ key, listen: "127.0.0.1:0", services, limits, onInternalError: () => {} });
  const client = createClient(CheckpointStoreServiceService, server.address, keyed);
  const [host = "", port = ""] = server.address.split(":");
  const open: (Socket | ClientHttp2Session)[] = [];
  return {
    client,
    /** A connection of bytes. */
    socket(): Socket {
      const socket = connect(Number(port), host)
        .on("error", () => {})
        .resume();
      open.push(socket);
      return socket;
    },
    session(): ClientHttp2Session {
      const session = connectHttp2(`http://${server.address}`).on("error", () => {});
      open.push(session);
      return session;
    },
    async [Symbol.asyncDispose]() {
      for (const one of open) one.destroy();
      client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A call that is written by hand. */
function begin(session: ClientHttp2Session, method: string, withKey: PoolKey | undefined = key): ClientHttp2Stream {
  const authorization = withKey && { authorization: `Bearer ${withKey.reveal()}` };
  const headers = { ":method": "POST", ":path": PATH + method, "content-type": "application/grpc", te: "trailers" };
  return session.request({ ...headers, ...authorization }).on("error", () => {});
}

/** The first bytes of a message of `sizeBytes`. */
function partOf(sizeBytes: number, there: number): Buffer {
  const part = Buffer.alloc(5 + there);
  part.writeUInt32BE(sizeBytes, 1);
  return part;
}

/** However it ended. */
const closed = (stream: ClientHttp2Stream) => new Promise<void>((resolve) => stream.once("close", resolve));

/** The status and details of a call that the server ends. */
async function endOf(stream: ClientHttp2Stream): Promise<[code: string, details: string]> {
  let found: Record<string, unknown> = {};
  const keep = (headers: Record<string, unknown>) => {
    if ("grpc-status" in headers) found = headers;
  };
  stream.on("response", keep).on("trailers", keep).resume();
  await closed(stream);
  return [String(found["grpc-status"]), decodeURI(String(found["grpc-message"]))];
}

const [RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAUTHENTICATED] = ["8", "4", "16"];

describe("connections", () => {
  test("that say nothing end", async () => {
    await using server = await serve({ firstCallMs: 50 });
    await once(server.socket(), "close");
    const session = server.session();
    await once(session, "close");
    // A client that calls keeps its connection, which is not looked at again.
    await server.client.list({ outputDir: "a" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await server.client.list({ outputDir: "a" });
  });

  test("that show no key make room for others, the oldest first", async () => {
    await using server = await serve({ maxUnproven: 3 });
    const silent = [server.socket(), server.socket(), server.socket()];
    await Promise.all(silent.map((socket) => once(socket, "connect")));
    const ended = once(silent[0] ?? assert.fail(), "close");
    await server.client.list({ outputDir: "a" });
    await ended;
    // The client proved itself: it makes room for nobody.
    const session = server.session();
    assert.deepEqual((await endOf(begin(session, "List", PoolKey.random())))[0], UNAUTHENTICATED);
    const more = [server.socket(), server.socket(), server.socket(), server.socket()];
    await once(session, "close");
    await once(more[0] ?? assert.fail(), "close");
    await server.client.list({ outputDir: "a" });
  });

  test("are refused beyond the most that there may be", async () => {
    await using server = await serve({ maxConnections: 2 });
    await server.client.list({ outputDir: "a" });
    await once(server.socket(), "connect");
    await once(server.socket(), "close");
    await server.client.list({ outputDir: "a" });
  });

  test("may have 128 calls, and more wait", async () => {
    await using server = await serve({});
    const session = server.session();
    await once(session, "remoteSettings");
    assert.equal(session.remoteSettings.maxConcurrentStreams, 128);
    await Promise.all(Array.from({ length: 300 }, () => server.client.list({ outputDir: "a" })));
  });
});

describe("calls", () => {
  test("whose first message does not come end, with the reason", async () => {
    let saves = 0;
    const save: StoreHandlers["save"] = async (requests) => {
      for await (const _ of requests) saves += 1;
      return SAVED;
    };
    await using server = await serve({ firstMessageMs: 50 }, { save });
    const session = server.session();
    for (const method of ["List", "Save", "Load"]) {
      assert.deepEqual(await endOf(begin(session, method)), [
        DEADLINE_EXCEEDED,
        "no message came within 0.05 s; send it as soon as the call begins",
      ]);
    }
    assert.equal(saves, 0);
  });

  test("of which the request never ends end, and streams rest as long as they like", async () => {
    const save: StoreHandlers["save"] = async (requests) => {
      for await (const _ of requests);
      return SAVED;
    };
    await using server = await serve({ firstMessageMs: 50, messageMs: 50 }, { save });
    const session = server.session();
    const list = begin(session, "List");
    list.write(partOf(0, 0));
    assert.equal((await endOf(list))[0], DEADLINE_EXCEEDED);
    const stream = begin(session, "Save");
    stream.write(partOf(0, 0));
    await new Promise((resolve) => setTimeout(resolve, 150));
    const ended = endOf(stream);
    stream.end(partOf(0, 0));
    assert.equal((await ended)[0], "0");
  });

  test("with a message that stays unfinished end", async () => {
    const save: StoreHandlers["save"] = async (requests) => {
      for await (const _ of requests);
      return SAVED;
    };
    await using server = await serve({ messageMs: 50 }, { save });
    const stream = begin(server.session(), "Save");
    stream.write(partOf(MIB, 100_000));
    assert.match((await endOf(stream)).join(), /^4,a message was not complete within 0.05 s/);
  });

  test("with a message larger than their method takes end at its first bytes", async () => {
    await using server = await serve({});
    const stream = begin(server.session(), "List");
    stream.write(partOf(300_000, 10));
    const problem = "the message has 300000 bytes, where 262144 are accepted; send less in one message";
    assert.deepEqual(await endOf(stream), [RESOURCE_EXHAUSTED, problem]);
  });

  test("that the server itself is slow to read are left alone", async () => {
    let goOn = () => {};
    const read = new Promise<void>((resolve) => (goOn = resolve));
    let received = 0;
    const save: StoreHandlers["save"] = async (requests) => {
      for await (const { message } of requests) {
        await read;
        if (message?.$case === "data") received += message.value.byteLength;
      }
      return SAVED;
    };
    await using server = await serve({ messageMs: 200 }, { save });
    const saving = server.client.save(pieces(6));
    await new Promise((resolve) => setTimeout(resolve, 700));
    goOn();
    assert.equal((await saving).path, SAVED.path);
    assert.equal(received, 6 * MIB);
  });
});

async function* pieces(count: number): AsyncGenerator<SaveRequest> {
  for (let i = 0; i < count; i++) yield { message: { $case: "data", value: new Uint8Array(MIB) } };
}

describe("unfinished messages", () => {
  const save: StoreHandlers["save"] = async (requests) => {
    for await (const _ of requests);
    return SAVED;
  };

  test("have so much room for each connection, and honest ones arrive beside them", async () => {
    await using server = await serve({ messageMs: 1_000 }, { save });
    const attacker = server.session();
    await once(attacker, "remoteSettings");
    const before = process.memoryUsage().arrayBuffers;
    const half = Array.from({ length: 100 }, () => begin(attacker, "Save"));
    for (const stream of half) stream.write(partOf(2 * MIB, 2 * MIB - 100));
    const ends = half.map(endOf);
    assert.equal((await server.client.save(pieces(32))).path, SAVED.path);
    // Both ends of 100 × 2 MiB are in this process; what the server holds is in no proportion to it.
    const held = process.memoryUsage().arrayBuffers - before;
    assert.ok(held < 300 * MIB, `${held / MIB} MiB`);
    attacker.destroy();
    await Promise.all(ends);
    assert.equal((await server.client.save(pieces(2))).path, SAVED.path);
  });

  test("wait for room and then arrive, each whole", async () => {
    await using server = await serve({ maxUnfinishedBytes: 2 * MIB, maxUnfinishedBytesOfAll: 3 * MIB }, { save });
    const saved = await Promise.all(Array.from({ length: 10 }, () => server.client.save(pieces(3))));
    assert.ok(saved.every(({ path }) => path === SAVED.path));
  });
});

describe("responses that nobody reads", () => {
  test("end with a code for it, and those that are read are not cut", async () => {
    let left = 0;
    const load: StoreHandlers["load"] = async function* () {
      try {
        for (let i = 0; i < 64; i++) yield LoadResponse.create({ data: Buffer.alloc(MIB) });
      } finally {
        left += 1;
      }
    };
    await using server = await serve({ unreadMs: 300 }, { load });
    const session = server.session();
    const unread = Array.from({ length: 8 }, () => begin(session, "Load"));
    const ends = unread.map(async (stream) => {
      stream.end(partOf(0, 0));
      await closed(stream);
      return stream.rstCode;
    });
    let bytes = 0;
    for await (const { data } of server.client.load(LoadRequest.create())) bytes += data.byteLength;
    assert.equal(bytes, 64 * MIB);
    assert.deepEqual(new Set(await Promise.all(ends)), new Set([constants.NGHTTP2_ENHANCE_YOUR_CALM]));
    assert.equal(left, 9);
    // A client of ours that stops reading is told so, too.
    const slow = server.client.load(LoadRequest.create())[Symbol.asyncIterator]();
    await slow.next();
    while (left < 10) await new Promise((resolve) => setTimeout(resolve, 10));
    const rest = async () => {
      while (!(await slow.next()).done);
    };
    await assert.rejects(rest, ({ code }: GradpoolError) => code === "resource_exhausted");
  });
});
