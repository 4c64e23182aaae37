/** The places where output folders may be, for tests that apply to each: a folder, and a bucket in an object store. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { StoreProcess } from "./store-process.js";
import { Workspace } from "./tiny-coder.js";
import { deployTool } from "./tools.js";
import { Versitygw } from "./versitygw.js";

const BUCKET = "results";

/** An output folder of a test, its store, and its files as they are on this machine's disk. */
export interface ArtifactPlace {
  outputDir: string;
  store: StoreProcess;
  /** Starts another store on the same place. */
  another: () => Promise<StoreProcess>;
  /** Paths of all files in it, sorted; folders appear only through their files. */
  files: () => Promise<string[]>;
  read: (path: string) => Buffer;
  write: (path: string, content: string | Uint8Array) => void;
}

async function placeIn(t: TestContext, root: string, outputDir: string, env: Record<string, string>) {
  const another = async () => {
    const store = await StoreProcess.start(env);
    t.after(() => store[Symbol.asyncDispose]());
    return store;
  };
  const files = async () => {
    const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
    const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    return paths.map((path) => path.slice(root.length + 1)).sort();
  };
  return {
    ...{ outputDir, another, files, store: await another() },
    read: (path: string) => readFileSync(join(root, path)),
    write: (path: string, content: string | Uint8Array) => {
      mkdirSync(root, { recursive: true });
      writeFileSync(join(root, path), content);
    },
  };
}

async function workspaceOf(t: TestContext): Promise<Workspace> {
  const workspace = await Workspace.create();
  t.after(() => workspace[Symbol.asyncDispose]());
  return workspace;
}

export interface KindOfPlace {
  name: string;
  /** Why its tests are skipped, or false. */
  skip: string | false;
  create: (t: TestContext) => Promise<ArtifactPlace>;
}

export async function kindsOfPlaces(): Promise<KindOfPlace[]> {
  const { skip } = await deployTool("versitygw");
  return [
    {
      name: "a folder",
      skip: false,
      create: async (t) => {
        const folder = (await workspaceOf(t)).path("new", "output");
        return placeIn(t, folder, folder, {});
      },
    },
    {
      name: "an object store",
      skip,
      create: async (t) => {
        const objects = await Versitygw.start((await workspaceOf(t)).path("objects"), [BUCKET]);
        t.after(() => objects[Symbol.asyncDispose]());
        return placeIn(t, objects.path(BUCKET, "new/output"), `s3://${BUCKET}/new/output`, objects.env);
      },
    },
  ];
}
