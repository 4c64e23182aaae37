/**
 * Megabytes of text (UTF-8) encoded per second: by the encoder directly, and through the tokenizer
 * service over gRPC on this machine. Prints one JSON line.
 */
import { fork } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createClient, type EncodeRequest, PoolKey, TokenizerServiceService, withKey } from "@gradpool/rpc";
import { loadTokenizer } from "@gradpool/tokenizers";
import { median } from "./rounds.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: "string", default: join(ROOT, "models/tiny-coder") },
    megabytes: { type: "string", default: "10" },
    workers: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
  },
});

/** Text in a request, in code units; a request holds at most 512 KiB of UTF-8. */
const REQUEST_LENGTH = 256 * 1024;

const texts = await sourceTexts(Number(values.megabytes) * 1e6);
const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6;
const rounds = Number(values.rounds);

const tokenizer = await loadTokenizer(values.model, "");
const bare: number[] = [];
let bareIds = 0;
for (let round = 0; round < rounds; round++) {
  const begin = performance.now();
  bareIds = 0;
  for (const text of texts) bareIds += tokenizer.encode(text).length;
  bare.push(megabytes / ((performance.now() - begin) / 1000));
}
tokenizer.free();

const key = PoolKey.random();
const service = fork(join(ROOT, "services/tokenizer/dist/src/main.js"), {
  env: { ...process.env, GRADPOOL_KEY: key.reveal(), GRADPOOL_WORKERS: values.workers, GRADPOOL_LOG_LEVEL: "warn" },
});
const address = await new Promise<string>((resolve, reject) => {
  service.once("message", (message: { address?: string }) =>
    message.address ? resolve(message.address) : reject(new Error("the tokenizer service did not start")),
  );
});
const client = createClient(TokenizerServiceService, address, [withKey(() => key)]);
const served: number[] = [];
let servedIds = 0;
try {
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now();
    servedIds = 0;
    for await (const { ids } of client.encode(requests())) servedIds += ids.byteLength / 4;
    served.push(megabytes / ((performance.now() - begin) / 1000));
  }
} finally {
  client.close();
  service.disconnect();
}
if (servedIds !== bareIds) throw new Error(`${servedIds} ids through gRPC, ${bareIds} without`);
const [bareMedian, servedMedian] = [median(bare), median(served)];
console.log(
  JSON.stringify({
    megabytes,
    ids: bareIds,
    bare_mb_per_second: bareMedian,
    grpc_mb_per_second: servedMedian,
    ratio: servedMedian / bareMedian,
    workers: Number(values.workers),
  }),
);

async function* requests(): AsyncGenerator<EncodeRequest> {
  const ref = { modelId: values.model, padToken: "", tokenizerHash: "" };
  let batch: string[] = [];
  let length = 0;
  for (const text of texts) {
    if (length + text.length > REQUEST_LENGTH && batch.length > 0) {
      yield { tokenizer: ref, texts: batch, continues: false, maxTokens: 0 };
      [batch, length] = [[], 0];
    }
    batch.push(text);
    length += text.length;
  }
  yield { tokenizer: ref, texts: batch, continues: false, maxTokens: 0 };
}

/** Source files of the repository and of its dependencies, in a fixed order, up to `bytes`. */
async function sourceTexts(bytes: number): Promise<string[]> {
  const folders = ["packages", "services", "node_modules/typescript/lib", "node_modules/zod", "node_modules/@grpc"];
  const found: string[] = [];
  for (const folder of folders) {
    const names = await readdir(join(ROOT, folder), { recursive: true });
    for (const name of names.sort()) {
      if (bytes <= 0) return found;
      if (!/\.(ts|js|md)$/.test(name)) continue;
      const text = (await readFile(join(ROOT, folder, name), "utf8").catch(() => "")).slice(0, REQUEST_LENGTH / 2);
      found.push(text);
      bytes -= Buffer.byteLength(text);
    }
  }
  return found;
}
