export * from "./golden.js";
export * from "./stack.js";
export * from "./tiny-coder.js";
export * from "./cli.js";
export * from "./fake-hub.js";
export type { Fault, FaultKind } from "./fake-hub-faults.js";
export type { FakeRepo, FakeRepoOptions } from "./fake-hub-repo.js";
