/**
 * A trainer's device, which computes one micro-batch at a time, whoever gave it: the coordinator that was served
 * least recently comes first. What is not ready holds up nobody else.
 */

/** A micro-batch that is being computed. */
export interface Computing {
  /** Never rejects. */
  computed: Promise<unknown>;
  /** It takes longer only on a device that is stuck; 0: no bound. */
  longestTurnMs: number;
}

/** One conversation's micro-batches. */
export interface DeviceUser {
  /** Micro-batches that it has for the device, the one being computed included. */
  readonly load: number;
  /** Begins to compute its next one, if that is ready. */
  begin(): Computing | undefined;
  /** What others have for the device has changed. */
  othersChanged(): void;
}

/** What a device does for others than one of its users. */
export interface Elsewhere {
  tasks: number;
  isComputing: boolean;
  isStuck: boolean;
}

export class DeviceQueue {
  /** The least recently served first. */
  #users: DeviceUser[] = [];
  #current: { user: DeviceUser; startedAt: number; longestTurnMs: number } | undefined;

  join(user: DeviceUser): void {
    this.#users.unshift(user);
  }

  /** What it computes for the user is finished all the same: ONNX Runtime cannot be interrupted. */
  leave(user: DeviceUser): void {
    this.#users = this.#users.filter((other) => other !== user);
    this.changed(user);
  }

  /** Call it when a micro-batch of the user is ready, and when its load has changed. */
  changed(user: DeviceUser): void {
    this.#begin();
    for (const other of [...this.#users]) if (other !== user) other.othersChanged();
  }

  elsewhere(user: DeviceUser): Elsewhere {
    const others = this.#users.filter((other) => other !== user);
    const current = this.#current?.user === user ? undefined : this.#current;
    const isLeft = current !== undefined && !others.includes(current.user);
    const tasks = others.reduce((sum, { load }) => sum + load, isLeft ? 1 : 0);
    const bound = current?.longestTurnMs || Infinity;
    return {
      tasks,
      isComputing: current !== undefined,
      isStuck: current !== undefined && performance.now() - current.startedAt > bound,
    };
  }

  #begin(): void {
    if (this.#current) return;
    for (const user of this.#users) {
      const computing = user.begin();
      if (!computing) continue;
      this.#users = [...this.#users.filter((other) => other !== user), user];
      this.#current = { user, startedAt: performance.now(), longestTurnMs: computing.longestTurnMs };
      void computing.computed.then(() => {
        this.#current = undefined;
        this.changed(user);
      });
      return;
    }
  }
}
