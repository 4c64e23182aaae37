/**
 * Any coordinator of a pool answers any client: a call about a run that another living one owns is passed on, once.
 * While nobody owns the run, or its owner does not answer, what is recorded of it answers a read, and everything else is
 * `unavailable`, which clients try again: also calls in progress once their owner is declared dead, which may be silent for
 * longer than its connection notices.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  Metadata,
  type CallContext,
  type CallOptions,
  type Client,
  type Handlers,
  type RunServiceService,
} from "@gradpool/rpc";
import type { Peer } from "./members.js";

type RunHandlers = Handlers<RunServiceService>;
type RunClient = Client<RunServiceService>;

/** Marks a call that another coordinator passed on. */
const FORWARDED = "gradpool-forwarded";

/** A read waits this long for a run's owner: it may have been lost a moment ago. */
const READ_MS = 2_000;

/** "here": this coordinator owns the run, or nobody needs to, since it has ended. Undefined: nobody owns it now. */
export type Owner = "here" | Peer | undefined;

/** Who owns the runs that have not ended. */
export interface Owners {
  /** Looks for a run that another coordinator may have submitted a moment ago, if this one does not know it. */
  learn(runId: string): Promise<void>;
  ownerOf(runId: string): Owner;
}

export interface ForwardingOptions {
  owners: Owners;
  /** Makes a client of the coordinator at an address; the clients are closed with the Forwarding. */
  connect: (address: string) => RunClient;
}

export class Forwarding implements Disposable {
  readonly #options: ForwardingOptions;
  /** By address. */
  readonly #clients = new Map<string, RunClient>();

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  /** `own`: the handlers of the runs that this coordinator owns. */
  handlers(own: RunHandlers): RunHandlers {
    const write =
      <Request extends { runId: string }, Response>(
        here: (request: Request, context: CallContext) => Promise<Response>,
        there: (client: RunClient) => (request: Request, options: CallOptions) => Promise<Response>,
      ) =>
      async (request: Request, context: CallContext): Promise<Response> => {
        const owner = await this.#ownerOf(request);
        if (owner === "here") return here(request, context);
        const { client, signal } = this.#peerOf(owner, request, context);
        return there(client)(request, optionsOf(context, signal)).catch(lostBy(signal, request, context));
      };
    return {
      ...own,
      pauseRun: write(own.pauseRun, ({ pauseRun }) => pauseRun),
      resumeRun: write(own.resumeRun, ({ resumeRun }) => resumeRun),
      cancelRun: write(own.cancelRun, ({ cancelRun }) => cancelRun),
      // Of a run that has ended a moment ago: its former owner knows best.
      deleteRun: write(own.deleteRun, ({ deleteRun }) => deleteRun),
      getRun: async (request, context) => {
        const owner = await this.#ownerOf(request);
        if (owner === "here") return own.getRun(request, context);
        try {
          const { client, signal } = this.#peerOf(owner, request, context);
          return await client.getRun(request, { ...optionsOf(context, signal), timeoutMs: READ_MS });
        } catch (error) {
          return this.#recorded(error, context, () => own.getRun(request, context));
        }
      },
      watchRun: (request, context) => this.#watch(own, request, context),
      watchRunLog: (request, context) => this.#watchLog(own, request, context),
    };
  }

  async *#watch(own: RunHandlers, ...[request, context]: Parameters<RunHandlers["watchRun"]>) {
    const owner = await this.#ownerOf(request);
    if (owner === "here") yield* own.watchRun(request, context);
    else yield* this.#from(owner, request, context, ({ watchRun }) => watchRun);
  }

  /** The log is in the store: without `follow` any coordinator can read it. */
  async *#watchLog(own: RunHandlers, ...[request, context]: Parameters<RunHandlers["watchRunLog"]>) {
    const owner = await this.#ownerOf(request);
    if (owner === "here" || !request.follow) yield* own.watchRunLog(request, context);
    else yield* this.#from(owner, request, context, ({ watchRunLog }) => watchRunLog);
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  async #ownerOf({ runId }: { runId: string }): Promise<Owner> {
    const { owners } = this.#options;
    await owners.learn(runId);
    return owners.ownerOf(runId);
  }

  /** A stream of the run's owner. */
  async *#from<Request extends { runId: string }, Response>(
    owner: Exclude<Owner, "here">,
    request: Request,
    context: CallContext,
    there: (client: RunClient) => (request: Request, options: CallOptions) => AsyncIterable<Response>,
  ): AsyncGenerator<Response> {
    const { client, signal } = this.#peerOf(owner, request, context);
    try {
      yield* there(client)(request, optionsOf(context, signal));
    } catch (error) {
      lostBy(signal, request, context)(error);
    }
  }

  /** Errors: `unavailable` when nobody owns the run now, and for a call that was passed on already. */
  #peerOf(
    owner: Exclude<Owner, "here">,
    request: { runId: string },
    { metadata }: CallContext,
  ): { client: RunClient; signal: AbortSignal } {
    if (owner === undefined || metadata.get(FORWARDED).length > 0) throw takenOver(request);
    const { address, signal } = owner;
    const client = this.#clients.get(address) ?? this.#options.connect(address);
    this.#clients.set(address, client);
    return { client, signal };
  }

  /** What `read` gives, unless the owner answered with an error of its own. */
  #recorded<T>(error: unknown, { signal }: CallContext, read: () => Promise<T>): Promise<T> {
    const { code } = GradpoolError.from(error);
    // "cancelled": the owner was declared dead.
    if (!signal.aborted && ["unavailable", "deadline_exceeded", "cancelled"].includes(code)) return read();
    throw error;
  }
}

/** Throws what a call to a run's owner failed by, or `unavailable` where that was declared dead. */
const lostBy =
  (peer: AbortSignal, request: { runId: string }, { signal }: CallContext) =>
  (error: unknown): never => {
    throw peer.aborted && !signal.aborted ? takenOver(request) : error;
  };

const takenOver = ({ runId }: { runId: string }): GradpoolError =>
  new GradpoolError("unavailable", `run ${runId} is being taken over by another coordinator; try again`);

/** A deadline needs no passing on: when it is over, the signal aborts. */
function optionsOf({ signal }: CallContext, peer: AbortSignal): CallOptions {
  const metadata = new Metadata();
  metadata.set(FORWARDED, "1");
  return { signal: AbortSignal.any([signal, peer]), metadata };
}
