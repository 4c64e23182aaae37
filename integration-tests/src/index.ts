export * from "./golden.js";
export * from "./stack.js";
export * from "./watch-run.js";
export * from "./local-pool.js";
export * from "./small-disk.js";
export * from "./random.js";
export * from "./tiny-coder.js";
export * from "./cli.js";
