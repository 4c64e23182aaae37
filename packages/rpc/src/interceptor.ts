/**
 * What surrounds every call, on both sides and for all four kinds: a chain of interceptors, each of which may look at
 * a call, change it, refuse it, repeat it, or watch how it ends. Tracing, metrics, error mapping, deadlines and retries
 * are such links; so are your own checks. (connect-es has the model: `(next) => (request) => response`.)
 */
import type { CallContext } from "./methods.js";

/** A call on its way through a chain. */
export interface Call extends CallContext {
  /** Such as "/gradpool.v1.RunService/SubmitRun". */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** The request; where the client streams, an AsyncIterable of requests. */
  readonly input: unknown;
  /** The client gives up after this; undefined: no limit. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Makes the call: the rest of the chain. Gives the responses, exactly one unless the server streams; throws the call's
 * error.
 */
export type Next = (call: Call) => AsyncIterable<unknown>;

/** A link of the chain. It is made once for each method; what it returns is called for each call. */
export type Interceptor = (next: Next) => Next;

/** The first interceptor is the outermost: it sees a call first, and its end last. */
export function chain(interceptors: readonly Interceptor[], last: Next): Next {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), last);
}

/** Health checks: their callers may have no credentials. */
export const isHealthCheck = ({ path }: Pick<Call, "path">): boolean => path.startsWith("/grpc.health.");

/** Calls of gRPC's own services, health and reflection: they are not part of the service's work. */
export const isOfGrpc = ({ path }: Pick<Call, "path">): boolean => path.startsWith("/grpc.");

/** The response of a call that has exactly one. */
export async function onlyResponse(responses: AsyncIterable<unknown>): Promise<unknown> {
  let found: { response: unknown } | undefined;
  for await (const response of responses) found = { response };
  if (!found) throw new Error("a call ended without its response");
  return found.response;
}

/**
 * The responses that `begin` gives, as they are; `onEnd` is called once with how the call ended, also when its reader
 * leaves, and returns the error to throw in place of a failure's. Does what `try { yield* … } finally` does in a
 * generator, at a fraction of the cost for each message.
 */
export function watchEnd(
  begin: () => AsyncIterable<unknown>,
  onEnd: (failure?: { error: unknown }) => unknown,
): AsyncIterableIterator<unknown> {
  let responses: AsyncIterator<unknown> | undefined;
  let isOver = false;
  const end = (failure?: { error: unknown }): unknown => {
    if (isOver) return failure?.error;
    isOver = true;
    return onEnd(failure);
  };
  const passed = (result: IteratorResult<unknown>) => {
    if (result.done) end();
    return result;
  };
  const failed = (error: unknown): never => {
    throw end({ error });
  };
  return {
    next() {
      try {
        responses ??= begin()[Symbol.asyncIterator]();
      } catch (error) {
        return Promise.reject(end({ error }) as Error);
      }
      return responses.next().then(passed, failed);
    },
    async return() {
      try {
        await responses?.return?.();
      } finally {
        end();
      }
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
