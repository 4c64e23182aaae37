/** Connections between machines: certificates on both sides, renewed while calls go on, or a refusal. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import { get } from "node:https";
import { networkInterfaces } from "node:os";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { connect, type PeerCertificate } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Certificates, type TlsFiles } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { createClient, healthProblem, PoolServiceService, RunState, withKey } from "@gradpool/rpc";
import { startHttpServer } from "@gradpool/service-kit";
import {
  deployTool,
  goClient,
  gradpool,
  LocalPool,
  LoneTrainer,
  openssl,
  pythonWith,
  TINY_CODER,
  tinyRun,
  watchRun,
  Workspace,
} from "../src/index.js";

const run = promisify(execFile);
const TIMEOUT = { timeout: 300_000 };
const tool = await openssl();
const grpcurl = await deployTool("grpcurl");
const CLIENTS = fileURLToPath(new URL("../../../examples/clients", import.meta.url));
const go = await goClient();
const python = await pythonWith(join(CLIENTS, "python/requirements.txt"));

const flagsOf = ({ ca, cert, key }: TlsFiles) => ["--tls_ca", ca, "--tls_cert", cert, "--tls_key", key];
const envOf = ({ ca, cert, key }: TlsFiles) => ({
  GRADPOOL_TLS_CA: ca,
  GRADPOOL_TLS_CERT: cert,
  GRADPOOL_TLS_KEY: key,
});

describe("between machines", TIMEOUT, () => {
  let workspace: Workspace;
  let pool: LocalPool;
  const filesOf = (folder: string, name: "server" | "client"): TlsFiles => ({
    ca: workspace.path(folder, "ca.crt"),
    cert: workspace.path(folder, `${name}.crt`),
    key: workspace.path(folder, `${name}.key`),
  });
  const init = async (folder: string, ...flags: string[]) => {
    const { code, stderr } = await gradpool(
      ["certs", "init", "--dir", workspace.path(folder), ...flags],
      workspace.path(),
    );
    assert.equal(code, 0, stderr);
  };

  before(async () => {
    workspace = await Workspace.create();
    await Promise.all([init("certs", "--host", "pool.example"), init("others")]);
    const flags = ["--listen", "0.0.0.0", ...flagsOf(filesOf("certs", "server"))];
    pool = await LocalPool.start(workspace.path("home"), flags, { GRADPOOL_ROOTS: "/" });
  });
  after(async () => {
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  /** How ListTrainers ends for a client that has the pool's key and these certificates. */
  const answerTo = async (tls?: TlsFiles): Promise<string> => {
    using certificates = tls && new Certificates(tls);
    using client = createClient(PoolServiceService, pool.address, [withKey(() => pool.key)], certificates);
    try {
      await client.listTrainers({}, { timeoutMs: 10_000 });
      return "ok";
    } catch (error) {
      return GradpoolError.from(error).code;
    }
  };

  test("a run trains over encrypted connections", async () => {
    const runId = await pool.submit(tinyRun(await workspace.dataset(20), workspace.path("out"), { epochs: 1 }));
    assert.equal((await watchRun(pool.runs, runId)).run.state, RunState.RUN_STATE_COMPLETED);
    for (const { address } of pool.services) {
      assert.notEqual(await healthProblem(address), "", "no service answers in plain text");
    }
  });

  test("only who has a certificate of the pool's authority, and trusts the pool's, is answered", async () => {
    assert.equal(await answerTo(filesOf("certs", "client")), "ok");
    const own = filesOf("certs", "client");
    const foreign = filesOf("others", "client");
    assert.equal(await answerTo(), "unavailable");
    assert.equal(await answerTo({ ...own, ca: foreign.ca }), "unavailable");
    assert.equal(await answerTo({ ...foreign, ca: own.ca }), "unavailable");
  });

  test("openssl sees the certificate, and is refused without one", { skip: tool.skip }, async () => {
    const { ca, cert, key } = filesOf("certs", "client");
    const asked = async (...more: string[]) => {
      const args = [
        "s_client",
        "-connect",
        pool.address,
        "-alpn",
        "h2",
        "-CAfile",
        ca,
        "-verify_return_error",
        ...more,
      ];
      const child = spawn(tool.path, args, { stdio: ["ignore", "pipe", "pipe"] });
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
      return stdout + stderr;
    };
    const known = await asked("-cert", cert, "-key", key);
    assert.match(known, /Verify return code: 0 \(ok\)/);
    assert.match(known, /ALPN protocol: h2/);
    assert.doesNotMatch(known, /alert/);
    // The server ends the connection.
    assert.match(await asked("-ign_eof"), /alert certificate required/);
    await run(tool.path, ["verify", "-CAfile", ca, cert, filesOf("certs", "server").cert]);
  });

  test("commands find the certificates on the pool's machine, and say what is wrong with others", async () => {
    const status = (home: string, flags: string[], env = {}) =>
      gradpool(["pool", "status", "--address", pool.address, ...flags], workspace.path(home), env);
    const here = await status("home", []);
    assert.equal(here.code, 0, here.stderr);
    assert.doesNotMatch(here.stderr, /Warning/);
    const client = filesOf("certs", "client");
    const key = { GRADPOOL_KEY: pool.key.reveal() };
    assert.equal((await status("elsewhere", flagsOf(client), key)).code, 0);
    assert.equal((await status("elsewhere", [], { ...key, ...envOf(client) })).code, 0);
    const wrong = await status("elsewhere", flagsOf({ ...client, ca: filesOf("others", "client").ca }), key);
    assert.match(wrong.stderr, /its certificate is from another authority; check --tls_ca/);
    const part = await status("elsewhere", ["--tls_ca", client.ca], key);
    assert.match(part.stderr, /--tls_cert and --tls_key: missing/);
    const mixed = await status("elsewhere", flagsOf({ ...client, key: filesOf("others", "client").key }), key);
    assert.match(mixed.stderr, /client\.key cannot be used \(it does not belong to .*client\.crt\)/);
  });

  test("a certificate that names another host is refused", async () => {
    const { stderr } = await gradpool(
      [
        "pool",
        "status",
        "--address",
        pool.address.replace("127.0.0.1", "127.0.0.2"),
        ...flagsOf(filesOf("certs", "client")),
      ],
      workspace.path("home"),
      { GRADPOOL_KEY: pool.key.reveal() },
    );
    assert.match(stderr, /its certificate is not for this name; make one with gradpool certs init --host NAME/);
  });

  test("a trainer joins with a client's certificate, and not without", async () => {
    const [own, foreign] = [filesOf("certs", "client"), filesOf("others", "client")];
    const key = { GRADPOOL_HOME: workspace.path("elsewhere"), GRADPOOL_KEY: pool.key.reveal() };
    await using trainer = LoneTrainer.start(pool.address, { ...key, ...envOf(own) });
    await trainer.logs("connected to the coordinator");
    await using stranger = LoneTrainer.start(pool.address, { ...key, ...envOf({ ...foreign, ca: own.ca }) });
    await stranger.logs("cannot be reached");
    await using plain = LoneTrainer.start(pool.address, key);
    await plain.logs("cannot be reached");
    await using remote = LoneTrainer.start("192.0.2.77:7070", key);
    await remote.logs("the pool's key would travel there in plain text");
  });

  test("the example clients train with the certificates that the environment names", async () => {
    const dataset = await workspace.dataset(16);
    const env = { ...process.env, ...envOf(filesOf("certs", "client")), GRPCURL: grpcurl.path };
    const others = { GRADPOOL_HOME: workspace.path("elsewhere"), GRADPOOL_KEY: pool.key.reveal() };
    const flags = ["--model_id", TINY_CODER, "--dataset", dataset, "--output_dir"];
    const clients: [skip: string | false, ...command: string[]][] = [
      [false, process.execPath, "typescript/dist/train.js", pool.address, ...flags, workspace.path("typescript")],
      [python.skip, python.path, "python/train.py", pool.address, ...flags, workspace.path("python")],
      [go.skip, go.path, "--recipe", "recipe.json", ...flags, workspace.path("go"), pool.address],
      [grpcurl.skip, "bash", "grpcurl/train.sh", pool.address, TINY_CODER, dataset, workspace.path("grpcurl")],
    ];
    for (const [skip, program = "", ...args] of clients) {
      if (skip) continue;
      const { stdout } = await run(program, args, { cwd: CLIENTS, env: { ...env, ...others } });
      assert.match(stdout, /^step 1\b/m, args[0]);
    }
  });

  test("renewed certificates are taken while calls go on", async () => {
    const before = (await presented(pool.address, filesOf("certs", "client"))).serialNumber;
    using certificates = new Certificates(filesOf("certs", "client"));
    using open = createClient(PoolServiceService, pool.address, [withKey(() => pool.key)], certificates);
    const runId = await pool.submit(tinyRun(await workspace.dataset(60), workspace.path("renewed"), { epochs: 1 }));
    await init("certs");
    do {
      await open.listTrainers({}, { timeoutMs: 10_000 });
      assert.equal(await answerTo(filesOf("certs", "client")), "ok");
    } while ((await presented(pool.address, filesOf("certs", "client"))).serialNumber === before);
    const { subjectaltname = "" } = await presented(pool.address, filesOf("certs", "client"));
    assert.match(subjectaltname, /DNS:pool\.example/);
    await open.listTrainers({}, { timeoutMs: 10_000 });
    assert.equal((await watchRun(pool.runs, runId)).run.state, RunState.RUN_STATE_COMPLETED);
  });

  test("over HTTP other machines see a certificate, and this one plain text", async () => {
    const key = pool.key;
    using tls = new Certificates(filesOf("certs", "server"));
    const routes = [
      {
        method: "GET" as const,
        path: "/healthz",
        isOpen: true,
        handle: (_: unknown, response: { end(text: string): void }) => response.end("ok"),
      },
    ];
    const options = { routes, access: { key, tls, hosts: [] }, onInternalError: assert.ifError };
    await using beyond = await startHttpServer({ listen: "0.0.0.0:0", ...options });
    await using local = await startHttpServer({ listen: "127.0.0.1:0", ...options });
    const port = beyond.address.split(":")[1] ?? "";
    const ca = await readFile(filesOf("certs", "client").ca);
    assert.equal(await statusOf(`https://localhost:${port}/healthz`, ca), 200);
    assert.equal(await statusOf(`https://127.0.0.1:${port}/`, ca), 401);
    await assert.rejects(statusOf(`https://127.0.0.1:${port}/healthz`, await readFile(filesOf("others", "client").ca)));
    await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`));
    assert.equal((await fetch(`http://${local.address}/healthz`)).status, 200);
    const cookie = await headersOf(`https://127.0.0.1:${port}/?key=${key.reveal()}`, ca);
    assert.match(String(cookie["set-cookie"]), /HttpOnly; SameSite=Strict; Secure/);
  });

  test("plain text is refused, unless it is allowed", async () => {
    const home = workspace.path("plain");
    const refused = await gradpool(["up", "--port", "0", "--listen", "0.0.0.0"], home);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /^gradpool: --listen: other machines can reach 0\.0\.0\.0.*"gradpool certs init".*--insecure/m,
    );
    const remote = await gradpool(["run", "list", "--address", "192.0.2.77:7070"], home, {
      GRADPOOL_KEY: pool.key.reveal(),
    });
    assert.equal(remote.code, 1);
    assert.match(
      remote.stderr,
      /192\.0\.2\.77:7070 is another machine, and the pool's key would travel there in plain text/,
    );
    await using allowed = await LocalPool.start(home, ["--listen", "0.0.0.0", "--insecure"]);
    assert.equal(await healthProblem(allowed.address), "");
    const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));
    if (hasIpv6) assert.equal(await healthProblem(`[::1]:${allowed.address.split(":")[1]}`), "");
    assert.match(allowed.log("coordinator"), /not encrypted: whoever is on the network/);
    const shared = { roots: [join(home, "shared")] };
    for (const { name } of allowed.services) assert.ok(allowed.log(name).includes(JSON.stringify(shared).slice(1, -1)));
  });

  test("certificates that are about to expire are named, thirty days before", () => {
    using own = new Certificates(filesOf("certs", "client"));
    const daysBefore = (days: number) => own.expiresAt.getTime() - days * 86_400_000;
    assert.equal(own.expiryNotice(), "");
    assert.equal(own.expiryNotice(daysBefore(31)), "");
    const day = own.expiresAt.toISOString().slice(0, 10);
    assert.match(
      own.expiryNotice(daysBefore(29)),
      new RegExp(`client.crt expires on ${day}; renew it with gradpool certs`),
    );
  });

  test("certificates that cannot be used are named", async () => {
    const { cert, key, ca } = filesOf("certs", "client");
    const broken = workspace.path("broken.crt");
    await writeFile(broken, "not PEM");
    assert.throws(() => new Certificates({ ca, cert: broken, key }), /broken\.crt cannot be used \(it is not PEM\)/);
    assert.throws(() => new Certificates({ ca, cert, key: workspace.path("none") }), /none cannot be used \(ENOENT\)/);
  });

  test("renewed files that cannot be used are reported, and the earlier ones stay in use", async () => {
    const { cert, key, ca } = filesOf("certs", "client");
    const copy = workspace.path("copy.crt");
    await copyFile(cert, copy);
    const problems: string[] = [];
    let reported = () => {};
    const reports = new Promise<void>((resolve) => (reported = resolve));
    using certificates = new Certificates(
      { ca, cert: copy, key },
      (problem) => (problems.push(problem), reported()),
      5,
    );
    const first = certificates.material;
    await rm(copy);
    await reports;
    assert.match(problems[0] ?? "", /copy\.crt cannot be used \(ENOENT\)/);
    assert.equal(certificates.material, first);
  });
});

/** The certificate that a server shows. */
async function presented(address: string, { ca, cert, key }: TlsFiles): Promise<PeerCertificate> {
  const [host = "", port] = address.split(":");
  const files = { ca: await readFile(ca), cert: await readFile(cert), key: await readFile(key) };
  const socket = connect({ host, port: Number(port), ALPNProtocols: ["h2"], ...files });
  await once(socket, "secureConnect");
  const certificate = socket.getPeerCertificate();
  socket.destroy();
  return certificate;
}

const answered = (url: string, ca: Buffer) =>
  new Promise<{ status: number; headers: NodeJS.Dict<string | string[]> }>((resolve, reject) => {
    get(url, { ca, agent: false }, (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, headers: response.headers });
    }).on("error", reject);
  });

const statusOf = async (url: string, ca: Buffer) => (await answered(url, ca)).status;
const headersOf = async (url: string, ca: Buffer) => (await answered(url, ca)).headers;
