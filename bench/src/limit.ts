/** Prints a float32 step's share of the bare product's rate as a JSON line, round by round. */
import { parseArgs } from "node:util";
import { gpt2SmallFolder } from "./gpt2-small.js";
import { stepAgainstProduct } from "./step-against-product.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
  },
});
const folder = values.model ?? (await gpt2SmallFolder());
const options = { threads: Number(values.threads), rounds: Number(values.rounds) };
console.log(JSON.stringify(await stepAgainstProduct(folder, options)));
