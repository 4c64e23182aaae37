/** A thread that converts GGUF files, unless that has been done before. */
import { convertedGguf } from "@gradpool/model-source";
import { serveJobs } from "@gradpool/threads";

serveJobs(async function* (args: Parameters<typeof convertedGguf>): AsyncGenerator<string> {
  yield await convertedGguf(...args);
});
