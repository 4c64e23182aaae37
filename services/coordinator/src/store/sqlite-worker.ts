/** The thread in which the run store waits for the disk. */
import { parentPort, workerData } from "node:worker_threads";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { SqliteDatabase, type CheckPlace } from "./sqlite-database.js";
import type { RunLogEntry } from "@gradpool/rpc";
import type { Change, History, PlacedEvent, PlacedUpdate, Recorded } from "./run-store.js";

export type StoreRequest = { id: number } & (
  | { type: "commit"; changes: readonly Change[] }
  | { type: "history"; runId: string }
  | { type: "history-page"; runId: string; after: number; limit: number }
  | { type: "events"; after: number; limit: number }
  | { type: "run-log"; runId: string; after: number; limit: number }
  | { type: "check"; place: CheckPlace | undefined }
  | { type: "back-up"; path: string }
  | { type: "close" }
);

type Value =
  | Recorded
  | History
  | PlacedUpdate[]
  | PlacedEvent[]
  | RunLogEntry[]
  | ReturnType<SqliteDatabase["check"]>
  | number
  | undefined;

export type StoreAnswer = { id: number } & (
  { type: "done"; value: Value } | { type: "failed"; code: ErrorCode; message: string }
);

/** SQLite's messages when the disk is at fault, not our code. */
const DISK_TROUBLE = /disk is full|disk I\/O error|readonly database|unable to open/;

const port = parentPort;
if (!port) throw new Error("this file is a worker");
let database: SqliteDatabase | undefined;

/** The first response, id 0, is what was recorded. */
answer(0, () => {
  database = new SqliteDatabase((workerData as { path: string }).path);
  return database.begin();
});

port.on("message", (request: StoreRequest) => {
  answer(request.id, () => {
    switch (request.type) {
      case "commit":
        return database?.commit(request.changes);
      case "history":
        return database?.history(request.runId);
      case "history-page":
        return database?.historyPage(request.runId, request.after, request.limit);
      case "events":
        return database?.events(request.after, request.limit);
      case "run-log":
        return database?.runLog(request.runId, request.after, request.limit);
      case "check":
        return database?.check(request.place);
      case "back-up":
        return void database?.backUp(request.path);
      case "close":
        database?.close();
        return undefined;
    }
  });
});

function answer(id: number, work: () => Value): void {
  let message: StoreAnswer;
  try {
    message = { id, type: "done", value: work() };
  } catch (reason) {
    const error = explained(reason);
    message = { id, type: "failed", code: error.code, message: error.message };
  }
  port?.postMessage(message);
}

function explained(reason: unknown): GradpoolError {
  const error = GradpoolError.from(reason);
  return DISK_TROUBLE.test(error.message) ? new GradpoolError("resource_exhausted", error.message) : error;
}
