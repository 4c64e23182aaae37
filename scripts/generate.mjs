// Generates TypeScript and the API document from the .proto files; with --check, fails if the committed files differ.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { apiDocument } from "./api-document.mjs";
import { descriptorsModule } from "./contracts.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Each job turns one folder of contracts into one folder of code. */
const jobs = [
  {
    protoDir: "proto",
    outDir: "packages/rpc/src/gen",
    /** Servers describe themselves by reflection. */
    descriptors: "descriptors.ts",
    options:
      "env=both,forceLong=number,esModuleInterop=true,importSuffix=.js,outputServices=grpc-js,oneof=unions-value,stringEnums=true,snakeToCamel=keys,unrecognizedEnum=false,useOptionals=none,exportCommonSymbols=false,useExactTypes=false",
  },
  {
    protoDir: "packages/graph/onnx",
    outDir: "packages/graph/src/gen",
    options:
      "env=both,forceLong=bigint,esModuleInterop=true,importSuffix=.js,outputServices=none,outputJsonMethods=false,unrecognizedEnum=false,useOptionals=none,exportCommonSymbols=false,useExactTypes=false",
  },
  {
    protoDir: "packages/tensorboard/proto",
    outDir: "packages/tensorboard/src/gen",
    options:
      "env=both,forceLong=number,esModuleInterop=true,importSuffix=.js,outputServices=none,oneof=unions-value,outputJsonMethods=false,useOptionals=none,exportCommonSymbols=false,useExactTypes=false",
  },
];

function generate({ protoDir, options, descriptors }, outDir) {
  const template = {
    version: "v2",
    plugins: [{ local: join(root, "node_modules/.bin/protoc-gen-ts_proto"), out: outDir, opt: options.split(",") }],
  };
  execFileSync(join(root, "node_modules/.bin/buf"), ["generate", protoDir, "--template", JSON.stringify(template)], {
    cwd: root,
    stdio: "inherit",
  });
  if (descriptors) writeFileSync(join(outDir, descriptors), descriptorsModule(protoDir));
}

const filesUnder = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();

let stale = false;
for (const job of jobs) {
  const committed = join(root, job.outDir);
  const fresh = mkdtempSync(join(tmpdir(), "gradpool-generate-"));
  try {
    generate(job, fresh);
    if (process.argv.includes("--check")) {
      const before = filesUnder(committed);
      const after = filesUnder(fresh);
      const differing = [...new Set([...before, ...after])].filter(
        (file) =>
          !before.includes(file) ||
          !after.includes(file) ||
          readFileSync(join(committed, file), "utf8") !== readFileSync(join(fresh, file), "utf8"),
      );
      for (const file of differing) console.error(`${job.outDir}/${file} differs: run "npm run generate"`);
      stale ||= differing.length > 0;
    } else {
      rmSync(committed, { recursive: true, force: true });
      cpSync(fresh, committed, { recursive: true });
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

const document = join(root, "docs/api.md");
const text = await apiDocument("proto");
if (!process.argv.includes("--check")) writeFileSync(document, text);
else if (readFileSync(document, "utf8") !== text) {
  console.error('docs/api.md differs: run "npm run generate"');
  stale = true;
}
process.exitCode = stale ? 1 : 0;
