/** A ByteTokenizer as a separate process: at GRADPOOL_LISTEN, killed while it works on its DIES_AT-th answer. */
import { ByteTokenizer } from "./byte-tokenizer.js";

const diesAt = Number(process.env["DIES_AT"]);
let answers = 0;
const tokenizer = await ByteTokenizer.start(process.env["GRADPOOL_LISTEN"]);
tokenizer.beforeAnswer = async () => {
  if (++answers === diesAt) process.kill(process.pid, "SIGKILL");
};
process.once("disconnect", () => process.exit());
process.send?.(tokenizer.address);
