export * from "./golden.js";
export * from "./stack.js";
export * from "./tiny-coder.js";
export * from "./cli.js";
