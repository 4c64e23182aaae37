/** gradpool run trace: where to see the trace of a run. */
import { GradpoolError } from "@gradpool/errors";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { RUN_ARGUMENT, withRun } from "../runs/named-run.js";
import { Pool } from "../runs/pool.js";

export function addRunTrace(run: Command, options: ProgramOptions): void {
  const command = run.command("trace").description("print the link to a run's trace in Jaeger ($GRADPOOL_JAEGER_URL)");
  onPool(command.argument(...RUN_ARGUMENT), options)
    .addHelpText("after", examples("gradpool run trace RUN_ID", "gradpool run trace RUN_ID --json"))
    .action((runId: string, flags: PoolFlags) => runTrace(runId, flags, contextFor(flags, options)));
}

async function runTrace(
  named: string,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const { signal } = interrupts;
  const { runId, traceId } = await withRun(pool, named, signal, (id) => pool.get(id, signal));
  if (!traceId) {
    const advice = "start the services with OTEL_EXPORTER_OTLP_ENDPOINT and submit it again";
    throw new GradpoolError("not_found", `run ${runId} has no trace; ${advice}`);
  }
  const url = `${config.jaegerUrl}/trace/${traceId}`;
  output.document({ run_id: runId, trace_id: traceId, url });
  output.say(url);
}
