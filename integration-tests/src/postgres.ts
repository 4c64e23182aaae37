/** A real PostgreSQL of a test's own: to stop, kill, restart, and fail over to a standby. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { freePorts, killServer, toolOf, type Tool } from "./tools.js";

const run = promisify(execFile);

/** Where Debian and Ubuntu keep the programs, which are not on PATH there. */
const DEBIAN = "/usr/lib/postgresql";

/** The folder with PostgreSQL's programs. */
export const postgresPrograms = (): Promise<Tool> => toolOf(findPrograms);

function findPrograms(): Promise<string> {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(DEBIAN, version, "bin")), ...pathFolders()];
  const folder = folders.find((place) => existsSync(join(place, "initdb")) && existsSync(join(place, "postgres")));
  if (folder) return Promise.resolve(folder);
  return Promise.reject(new Error("PostgreSQL is not installed (Debian: the package postgresql)"));
}

const pathFolders = () => (process.env["PATH"] ?? "").split(delimiter);

/** PostgreSQL refuses to run as root: then it runs as this user. */
async function serverUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const user = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody");
  if (!user) throw new Error("PostgreSQL does not run as root, and there is no user postgres or nobody");
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

export interface PostgresOptions {
  /** What it has confirmed survives the loss of the machine; false: faster, and enough where only processes are killed. */
  fsync?: boolean;
  /** Additional settings, such as { max_connections: "20" }. */
  settings?: Record<string, string>;
}

interface Parts {
  programs: string;
  folder: string;
  port: number;
  password: string;
  user: { uid: number; gid: number } | undefined;
  flags: readonly string[];
}

export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly password: string;
  readonly #parts: Parts;
  #child: ChildProcess | undefined;
  #databases = 0;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.port = parts.port;
    this.password = parts.password;
  }

  /** On 127.0.0.1, with a password, in a temporary folder that is removed in the end. */
  static async start({ fsync = false, settings = {} }: PostgresOptions = {}): Promise<PostgresServer> {
    const { path: programs } = await postgresPrograms();
    const all = {
      ...{ listen_addresses: "127.0.0.1", unix_socket_directories: "", shared_buffers: "32MB" },
      ...{ fsync: fsync ? "on" : "off", log_min_messages: "fatal", jit: "off" },
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const password = randomBytes(12).toString("hex");
    const [port = 0] = await freePorts(1);
    const folder = await mkdtemp(join(tmpdir(), "gradpool-postgres-"));
    const server = new PostgresServer({ programs, folder, port, password, user: await serverUser(), flags });
    try {
      await server.#initialize();
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** "host:port". */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Of a database; "postgres" is there from the start. `others`: further servers to try. */
  url(database = "postgres", others: readonly PostgresServer[] = []): string {
    const hosts = [this, ...others].map(({ address }) => address).join(",");
    return `postgres://gradpool:${this.password}@${hosts}/${database}`;
  }

  /** The URL of a new empty database. */
  async emptyDatabase(): Promise<string> {
    const name = `empty_${++this.#databases}`;
    await this.query(`CREATE DATABASE ${name}`);
    return this.url(name);
  }

  /** The rows that psql prints, their columns separated by "|". */
  async query(sql: string, database = "postgres"): Promise<string[]> {
    const { stdout } = await this.#run("psql", ["-X", "-A", "-t", "-q", "-d", this.url(database), "-c", sql]);
    return stdout.trimEnd().split("\n");
  }

  /** After `kill` or `stop`: it recovers. */
  async start(): Promise<void> {
    const { programs, user, flags, port } = this.#parts;
    for (;;) {
      const child = spawn(join(programs, "postgres"), ["-D", this.#data, "-p", String(port), ...flags], {
        ...{ ...user, cwd: this.#parts.folder, stdio: ["ignore", "ignore", "pipe"] },
      });
      this.#child = child;
      let said = "";
      child.stderr?.on("data", (data: Buffer) => (said += data.toString()));
      while (child.exitCode === null && child.signalCode === null) {
        if (await this.#isReady()) return;
        await delay(20);
      }
      // Processes of the one that was killed before are still ending.
      if (!/shared memory block|lock file/.test(said)) throw new Error(`PostgreSQL did not start: ${said}`);
      await delay(50);
    }
  }

  /** In order, without waiting for its clients to leave. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGINT");
    await exited;
  }

  /** kill -9. */
  kill(): Promise<void> {
    return killServer(this.#child);
  }

  /**
   * A standby, which streams what this one writes. Commits here wait until it has them: promoted, it has all that was confirmed.
   */
  async standby(): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), "gradpool-standby-"));
    const [port = 0] = await freePorts(1);
    const standby = new PostgresServer({ ...this.#parts, folder, port });
    try {
      await standby.#own();
      await this.#run("pg_basebackup", ["-D", standby.#data, "-R", "-c", "fast", "-d", this.url()]);
      await standby.start();
      await this.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
      await this.query("SELECT pg_reload_conf()");
      return standby;
    } catch (error) {
      await standby[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A standby becomes the primary. */
  async promote(): Promise<void> {
    await this.#run("pg_ctl", ["promote", "-w", "-D", this.#data]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#parts.folder, { recursive: true, force: true, maxRetries: 20 });
  }

  get #data(): string {
    return join(this.#parts.folder, "data");
  }

  /** Gives the folder to the user that it runs as. */
  async #own(): Promise<void> {
    const { folder, user } = this.#parts;
    await mkdir(this.#data);
    for (const path of [folder, this.#data]) {
      if (user) await chown(path, user.uid, user.gid);
      await chmod(path, 0o700);
    }
  }

  async #initialize(): Promise<void> {
    await this.#own();
    const passwordFile = join(this.#parts.folder, "password");
    await writeFile(passwordFile, `${this.#parts.password}\n`);
    await chmod(passwordFile, 0o644);
    const access = ["--username=gradpool", "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
    const flags = ["--no-sync", "--data-checksums", "--encoding=UTF8", "--locale=C"];
    await this.#run("initdb", ["-D", this.#data, ...access, ...flags]);
  }

  async #isReady(): Promise<boolean> {
    return this.#run("pg_isready", ["-q", "-h", "127.0.0.1", "-p", String(this.port)]).then(
      () => true,
      () => false,
    );
  }

  #run(program: string, args: readonly string[]): Promise<{ stdout: string }> {
    const { programs, user, folder } = this.#parts;
    return run(join(programs, program), args, { ...user, cwd: folder });
  }
}
