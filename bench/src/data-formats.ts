/**
 * Rows and megabytes of content read per second, by format, and how much memory grows while
 * gigabytes of shards are streamed. One shard is generated for each format, and streamed repeatedly.
 * Prints one JSON line.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { Dataset, describeDataset, type DataRecipe } from "@gradpool/data";
import { checkedRecipe, defaultRecipe } from "@gradpool/recipe";
import { parquetWriteFile } from "hyparquet-writer";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "128" },
    rounds: { type: "string", default: "3" },
    gigabytes: { type: "string", default: "5" },
  },
});

const RECIPE: DataRecipe = { ...checkedRecipe({ ...defaultRecipe(), batchSize: 8 }), maxRows: 0 };
const MEGABYTE = 1e6;

const texts = generatedTexts(Number(values.megabytes) * MEGABYTE);
const contentMegabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / MEGABYTE;
const folder = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
try {
  const shards = await writeShards(folder);
  const formats: Record<string, { rows_per_second: number; mb_per_second: number }> = {};
  for (const [format, path] of Object.entries(shards)) {
    const seconds: number[] = [];
    for (let round = 0; round < Number(values.rounds); round++) seconds.push(await secondsToRead(path));
    const best = Math.min(...seconds);
    formats[format] = { rows_per_second: texts.length / best, mb_per_second: contentMegabytes / best };
  }
  const repeats = Math.ceil((Number(values.gigabytes) * 1000) / contentMegabytes / 2);
  const mixture = [shards["json.gz"]!, shards["parquet"]!];
  const memory = await memoryWhile(Array.from({ length: repeats }, () => mixture).flat());
  console.log(JSON.stringify({ content_megabytes: contentMegabytes, rows: texts.length, formats, memory }));
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Words of a made-up language in lines, 1 to 15 KB per text: like source files in size, and about as compressible. */
function generatedTexts(bytes: number): string[] {
  let state = 1;
  const next = (below: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
  const words = Array.from({ length: 4000 }, () =>
    Array.from({ length: 2 + next(9) }, () => "etaoinshrdlucmf"[next(15)]).join(""),
  );
  const found: string[] = [];
  for (let left = bytes; left > 0;) {
    const lines = Array.from({ length: 20 + next(280) }, () =>
      Array.from({ length: 3 + next(7) }, () => words[next(4000)]).join(" "),
    );
    const text = lines.join("\n");
    found.push(text);
    left -= text.length;
  }
  return found;
}

/** Paths by format; zst only if the command zstd is installed. */
async function writeShards(folder: string): Promise<Record<string, string>> {
  const paths: Record<string, string> = {};
  const write = async (format: string, content: string | Uint8Array) => {
    paths[format] = join(folder, `shard.${format}`);
    await writeFile(paths[format], content);
  };
  const lines = texts.map((content) => `${JSON.stringify({ content })}\n`).join("");
  await write("jsonl", lines);
  await write("json.gz", gzipSync(lines));
  await write("json", JSON.stringify(texts.map((content) => ({ content }))));
  await write("csv", `content\n${texts.map((text) => `"${text.replaceAll('"', '""')}"\n`).join("")}`);
  try {
    execFileSync("zstd", ["-q", "-f", paths["jsonl"]!, "-o", join(folder, "shard.jsonl.zst")]);
    paths["jsonl.zst"] = join(folder, "shard.jsonl.zst");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  paths["parquet"] = join(folder, "shard.parquet");
  const columnData = [{ name: "content", data: texts }];
  parquetWriteFile({ filename: paths["parquet"], columnData, rowGroupSize: 1000 });
  return paths;
}

async function secondsToRead(path: string): Promise<number> {
  const begin = performance.now();
  for await (const { rows } of described([path])) if (rows > texts.length) throw new Error("more rows than written");
  return (performance.now() - begin) / 1000;
}

/** Largest resident size while streaming, and how much it is above that of the first tenth. */
async function memoryWhile(paths: string[]) {
  let rows = 0;
  let early = 0;
  let peak = 0;
  const total = paths.length * texts.length;
  for await ({ rows } of described(paths)) {
    const resident = process.memoryUsage.rss();
    peak = Math.max(peak, resident);
    if (rows < total / 10) early = Math.max(early, resident);
  }
  return {
    gigabytes: (paths.length * contentMegabytes) / 1000,
    rows,
    peak_mb: peak / MEGABYTE,
    growth_mb: (peak - early) / MEGABYTE,
  };
}

async function* described(paths: string[]) {
  const { signal } = new AbortController();
  yield* describeDataset(await Dataset.open(paths, signal), RECIPE, undefined, signal);
}
