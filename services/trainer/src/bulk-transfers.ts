/** Adapters in and gradients out, on their own connection: they never delay a heartbeat. */
import {
  chunks,
  concat,
  type Client,
  type PushResultRequest,
  type ResultHeader,
  type TrainerGatewayServiceService,
} from "@gradpool/rpc";

type Gateway = Client<TrainerGatewayServiceService>;

/**
 * A run's adapter at a version, as a safetensors file. Errors: `not_found` when the run has ended or the version is
 * outdated.
 */
export async function fetchAdapter(
  gateway: Gateway,
  runId: string,
  adapterVersion: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const { data } of gateway.fetchAdapter({ runId, adapterVersion }, { signal })) pieces.push(data);
  return concat(pieces);
}

/** Sends a result; true when it is accepted. */
export async function pushResult(
  gateway: Gateway,
  header: Omit<ResultHeader, "gradientBytes">,
  gradients: Uint8Array,
  signal: AbortSignal,
): Promise<boolean> {
  const { accepted } = await gateway.pushResult(messages(header, gradients), { signal });
  return accepted;
}

async function* messages(
  header: Omit<ResultHeader, "gradientBytes">,
  gradients: Uint8Array,
): AsyncGenerator<PushResultRequest> {
  yield { message: { $case: "header", value: { ...header, gradientBytes: gradients.byteLength } } };
  for (const data of chunks(gradients)) yield { message: { $case: "data", value: data } };
}
