/** gradpool run trace: where the trace of a run can be looked at. */
import { GradpoolError } from "@gradpool/errors";
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";

export async function runTrace(
  runId: string,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, (text) => output.note(text));
  const { traceId } = await pool.get(runId, interrupts.signal);
  if (!traceId) {
    const advice = "start the services with OTEL_EXPORTER_OTLP_ENDPOINT and submit it again";
    throw new GradpoolError("not_found", `run ${runId} has no trace; ${advice}`);
  }
  const url = `${config.jaegerUrl}/trace/${traceId}`;
  output.document({ run_id: runId, trace_id: traceId, url });
  output.say(url);
}
