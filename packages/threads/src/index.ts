export { GuardedThread, type Bounds, type ThreadOptions } from "./guarded-thread.js";
export { threadData, threadPort } from "./inside.js";
export { serveJobs, type JobContext } from "./job-server.js";
export { JobThreads, type JobOptions, type JobThreadsOptions } from "./job-threads.js";
export { fromPlain, toPlain, type PlainError } from "./plain-error.js";
