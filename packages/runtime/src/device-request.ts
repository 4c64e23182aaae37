/** What was asked for: the processor, a CUDA device, or CUDA where it works and else the processor. */
export type DeviceRequest = { kind: "auto" } | { kind: "cpu" } | { kind: "cuda"; index: number | undefined };

/** auto, cpu, cuda or cuda:i; undefined for anything else. */
export function parseDevice(text: string): DeviceRequest | undefined {
  if (text === "auto" || text === "cpu") return { kind: text };
  const match = /^cuda(?::(\d{1,3}))?$/.exec(text);
  return match ? { kind: "cuda", index: match[1] === undefined ? undefined : Number(match[1]) } : undefined;
}
