/** Stands in for the thread that draws charts, in tests of who draws when. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { parentPort } from "node:worker_threads";

const port = parentPort!;
const now = () => new TextEncoder().encode(String(process.hrtime.bigint()));

for (;;) {
  const [{ title }] = (await once(port, "message")) as [{ title: string }];
  if (title === "fail") throw new Error("no charts today");
  if (title === "hang") continue;
  const began = now();
  await delay(50);
  port.postMessage(
    new Map([
      ["began", began],
      ["ended", now()],
    ]),
  );
}
