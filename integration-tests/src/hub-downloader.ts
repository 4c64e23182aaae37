/** Downloads a model in a separate process, for tests that kill it. Argument: its name. Prints the folder. */
import { GradpoolError } from "@gradpool/errors";
import { downloadModel, Hub, parseRepoName } from "@gradpool/hub";

const repo = parseRepoName(process.argv[2] ?? "", "model");
if (!repo) throw new Error("name a model");
try {
  const { signal } = new AbortController();
  const { folder } = await downloadModel(Hub.fromEnv(process.env), repo, { signal });
  console.log(folder);
} catch (reason) {
  console.error(GradpoolError.from(reason).message);
  process.exitCode = 1;
}
