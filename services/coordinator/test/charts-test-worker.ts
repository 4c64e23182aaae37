/** Stands in for the thread that draws charts, in tests of who draws when. */
import { setTimeout as delay } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";

const { title } = workerData as { title: string };
const now = () => new TextEncoder().encode(String(process.hrtime.bigint()));
if (title === "fail") throw new Error("no charts today");
if (title === "hang") setInterval(() => {}, 1_000);
else {
  const began = now();
  await delay(50);
  parentPort?.postMessage(
    new Map([
      ["began", began],
      ["ended", now()],
    ]),
  );
}
