/** The coordinators that a trainer works for: those that it was told of, and those that they name. */
import { EventEmitter, once } from "node:events";
import type { TrainerHello, Welcome } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import { keepConnected } from "./connection.js";

/** What a conversation needs to know, and tells. */
export interface Talk {
  address: string;
  /** Coordinators that it is connected to. */
  coordinatorIds: TrainerHello["coordinatorIds"];
  onWelcome: (welcome: Welcome) => void;
  onMembers: (addresses: readonly string[]) => void;
  /** Aborted to end it in order. */
  stopping: AbortSignal;
}

export interface CoordinatorsOptions {
  /** "host:port" of each that is tried in any case; such a name may lead to any member of the pool. */
  addresses: readonly string[];
  log: Logger;
  converse: (talk: Talk) => Promise<void>;
  /** Called with the number of coordinators that it is connected to. */
  onChange: (connected: number) => void;
  stopping: AbortSignal;
}

/** An address with a conversation, or with attempts at one. */
interface Followed {
  leaving: AbortController;
  /** Who answers there; undefined: nobody yet, or one that is connected by another address. */
  coordinator?: { id: string; members: readonly string[] } | undefined;
}

export class Coordinators {
  readonly #followed = new Map<string, Followed>();
  readonly #conversations = new Set<Promise<void>>();
  /** Emits "change" when one is connected or lost. */
  readonly #changes = new EventEmitter().setMaxListeners(0);

  constructor(private readonly options: CoordinatorsOptions) {}

  /** Resolves once all conversations have ended after `stopping`. */
  async follow(): Promise<void> {
    for (const address of this.options.addresses) this.#follow(address);
    while (this.#conversations.size > 0) await Promise.all(this.#conversations);
  }

  #follow(address: string): void {
    const { log, stopping } = this.options;
    if (this.#followed.has(address)) return;
    const followed: Followed = { leaving: new AbortController() };
    this.#followed.set(address, followed);
    const ending = AbortSignal.any([stopping, followed.leaving.signal]);
    const converse = (onWelcome: () => void) => this.#converse(address, followed, ending, onWelcome);
    const conversation = keepConnected({ address, log, stopping: ending, converse });
    this.#conversations.add(conversation);
    void conversation.finally(() => this.#conversations.delete(conversation));
  }

  async #converse(
    address: string,
    followed: Followed,
    stopping: AbortSignal,
    onWelcome: () => void,
  ): Promise<"ended" | "known"> {
    const coordinatorIds = this.#connected.map(({ id }) => id).filter((id) => id !== "");
    let known: string | undefined;
    try {
      await this.options.converse({
        ...{ address, coordinatorIds, stopping },
        onWelcome: ({ coordinatorId: id, memberAddresses: members }) => {
          if (coordinatorIds.includes(id)) return void (known = id);
          followed.coordinator = { id, members };
          onWelcome();
          this.#changed();
        },
        onMembers: (members) => {
          if (followed.coordinator) followed.coordinator.members = members;
          this.#changed();
        },
      });
    } finally {
      if (followed.coordinator) {
        followed.coordinator = undefined;
        this.#changed();
      }
    }
    if (known === undefined) return "ended";
    const isConnected = () => this.#connected.some(({ id }) => id === known);
    while (isConnected()) await once(this.#changes, "change", { signal: stopping });
    return "known";
  }

  get #connected(): { id: string; members: readonly string[] }[] {
    return [...this.#followed.values()].flatMap(({ coordinator }) => coordinator ?? []);
  }

  /** Follows whom the connected ones name. While nobody answers, nobody says that another has left the pool. */
  #changed(): void {
    const { addresses, onChange, stopping } = this.options;
    const connected = this.#connected;
    onChange(connected.length);
    this.#changes.emit("change");
    if (connected.length === 0 || stopping.aborted) return;
    const named = new Set([...addresses, ...connected.flatMap(({ members }) => members)]);
    for (const address of named) this.#follow(address);
    for (const [address, { coordinator, leaving }] of this.#followed) {
      if (coordinator || named.has(address)) continue;
      this.#followed.delete(address);
      leaving.abort();
    }
  }
}
