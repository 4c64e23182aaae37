/**
 * Trainers that work for several coordinators at once, as docs/decisions/0047 has it: one device each, which computes one
 * micro-batch at a time, and a conversation with each coordinator. They die and return, and their networks are cut.
 */
import assert from "node:assert/strict";
import type { Input, Task } from "../src/core/state.js";
import type { Agenda } from "./agenda.js";
import type { SharedLife } from "./shared-life.js";
import { gradientOf } from "./simulated-run.js";

/** Micro-batches of one coordinator, alone and while others have some. */
const ALONE = 2;
const SHARED = 1;
/** A coordinator hears this soon that others begin or end to use the device. */
const SHARE_MS = 20;

interface Work {
  task: Task;
  adapter: number;
}

/** A conversation with one life of a coordinator. */
interface Talk {
  life: SharedLife;
  /** Part of its tasks' ids. */
  nonce: string;
  isOpen: boolean;
  waiting: Work[];
  current: Work | undefined;
  /** Its result is not wanted any more. */
  isDropped: boolean;
  pulled: number;
  toldOfOthers: boolean;
}

interface Device {
  trainerId: string;
  deviceClass: string;
  isAlive: boolean;
  aliveSinceMs: number;
  /** No network until then. */
  cutUntilMs: number;
  /** The least recently served first. */
  talks: Talk[];
  computing: { startedMs: number } | undefined;
  isSharing: boolean;
}

/** Where devices' time went, in milliseconds. */
export interface DeviceTime {
  alive: number;
  /** Computing what was then sent as a result. */
  computed: number;
  /** Computing when the trainer was lost. */
  lost: number;
  /** Computing for a coordinator that was gone when it was done, or had taken the task back. */
  unwanted: number;
}

export interface SharedTrainersOptions {
  agenda: Agenda;
  upTo: (ms: number) => number;
  happens: (chance: number) => boolean;
  /** How long one of the trainer's micro-batches takes. */
  computeMs: (task: Task, trainerId: string) => number;
  /** Infinity: none are sent; trainers that are gone are reported after `silenceMs`. */
  heartbeatMs: number;
  silenceMs: number;
  /** Chance that a trainer dies with a task, and that a result is lost, duplicated or late. */
  deaths: number;
  losses: number;
  /** How long one that died is away at most. */
  awayMs: number;
  /** Coordinators that answer. */
  lives: () => SharedLife[];
}

export class SharedTrainers {
  readonly time: DeviceTime = { alive: 0, computed: 0, lost: 0, unwanted: 0 };
  readonly #options: SharedTrainersOptions;
  readonly #devices = new Map<string, Device>();
  readonly #failures = new Map<string, number>();
  #connections = 0;

  constructor(options: SharedTrainersOptions) {
    this.#options = options;
  }

  deviceClassOf(trainerId: string): string | undefined {
    return this.#devices.get(trainerId)?.deviceClass;
  }

  get ids(): string[] {
    return [...this.#devices.keys()];
  }

  /** Starts a trainer, for the first time or again. */
  start(trainerId: string, deviceClass: string): void {
    const { agenda, lives, upTo } = this.#options;
    const device: Device = {
      ...{ trainerId, deviceClass, isAlive: true, aliveSinceMs: agenda.nowMs, cutUntilMs: 0 },
      ...{ talks: [], computing: undefined, isSharing: false },
    };
    this.#devices.set(trainerId, device);
    for (const life of lives()) this.#in(device, upTo(1_000), () => this.#join(device, life));
  }

  /** A coordinator answers from now on. */
  welcome(life: SharedLife): void {
    const { upTo } = this.#options;
    for (const device of this.#devices.values()) this.#in(device, 100 + upTo(2_000), () => this.#join(device, life));
  }

  /** A coordinator is gone: what it gave is forgotten. */
  lose(life: SharedLife): void {
    for (const device of this.#devices.values()) {
      for (const talk of device.talks) if (talk.life === life) this.#close(device, talk);
    }
  }

  /** A coordinator has given a trainer up that was silent for too long. */
  disconnect(life: SharedLife, trainerId: string): void {
    const device = this.#devices.get(trainerId);
    const talk = device?.talks.find((one) => one.life === life);
    if (!device || !talk) return;
    this.#close(device, talk);
    this.#in(device, 100 + this.#options.upTo(2_000), () => this.#join(device, life));
  }

  assign(life: SharedLife, trainerId: string, task: Task, adapter: number): void {
    this.#hear(life, trainerId, (device, talk) => {
      // Meant for the conversation before: the coordinator will learn in a moment that it is gone.
      if (!task.taskId.endsWith(`.${talk.nonce}`)) return;
      talk.waiting.push({ task, adapter });
      talk.pulled = Math.max(0, talk.pulled - 1);
      const held = talk.waiting.length + (talk.current ? 1 : 0);
      assert.ok(held <= ALONE, "a trainer was sent more tasks than it has room for");
      this.#changed(device);
    });
  }

  cancel(life: SharedLife, trainerId: string, taskId: string): void {
    this.#hear(life, trainerId, (device, talk) => {
      if (talk.current?.task.taskId === taskId) talk.isDropped = true;
      talk.waiting = talk.waiting.filter(({ task }) => task.taskId !== taskId);
      this.#pull(device, talk);
      this.#changed(device);
    });
  }

  /** Its process is killed, or its machine is lost; it returns later. */
  die(trainerId: string): void {
    const device = this.#devices.get(trainerId);
    if (!device?.isAlive) return;
    const { agenda, upTo, happens, silenceMs, heartbeatMs, awayMs } = this.#options;
    this.#settle(device);
    if (device.computing) this.time.lost += agenda.nowMs - device.computing.startedMs;
    device.isAlive = false;
    const isKilled = happens(0.5);
    for (const { life, isOpen } of device.talks) {
      const silentMs = isKilled ? 5 : heartbeatMs === Infinity ? silenceMs : Infinity;
      const isBack = () => this.#devices.get(trainerId) !== device;
      const leave = () => isBack() || life.happen({ type: "trainer-left", trainerId });
      if (isOpen && silentMs < Infinity) agenda.in(silentMs, leave);
    }
    device.talks = [];
    agenda.in(upTo(awayMs), () => this.start(trainerId, device.deviceClass));
  }

  /** What it sends arrives after a while, and so does what is sent to it. */
  cut(trainerId: string, ms: number): void {
    const device = this.#devices.get(trainerId);
    if (device) device.cutUntilMs = this.#options.agenda.nowMs + ms;
  }

  /** Counts the time up to now. */
  settle(): void {
    for (const device of this.#devices.values()) if (device.isAlive) this.#settle(device);
  }

  #settle(device: Device): void {
    this.time.alive += this.#options.agenda.nowMs - device.aliveSinceMs;
    device.aliveSinceMs = this.#options.agenda.nowMs;
  }

  /** A network that is cut for a moment delivers later. */
  #in(device: Device, ms: number, act: () => void): void {
    const { agenda } = this.#options;
    agenda.in(ms, () => {
      const cutMs = device.cutUntilMs - agenda.nowMs;
      if (cutMs > 0) this.#in(device, cutMs, act);
      else act();
    });
  }

  #join(device: Device, life: SharedLife): void {
    if (!device.isAlive || !life.isServing || device.talks.some((talk) => talk.life === life)) return;
    const nonce = String(++this.#connections);
    const talk: Talk = {
      ...{ life, nonce, isOpen: true, waiting: [], current: undefined },
      ...{ isDropped: false, pulled: 0, toldOfOthers: false },
    };
    device.talks.unshift(talk);
    const { trainerId, deviceClass } = device;
    this.#say(device, talk, { type: "trainer-joined", trainerId, deviceClass, nonce });
    this.#pull(device, talk);
    this.#beat(device, talk);
  }

  #close(device: Device, talk: Talk): void {
    talk.isOpen = false;
    talk.waiting = [];
    device.talks = device.talks.filter((other) => other !== talk);
    if (device.isAlive) this.#changed(device);
  }

  /** In order, unless the connection is gone when it arrives. */
  #say(device: Device, talk: Talk, input: Input): void {
    this.#in(device, 5, () => {
      if (talk.isOpen && device.isAlive) talk.life.happen(input);
    });
  }

  #hear(life: SharedLife, trainerId: string, heard: (device: Device, talk: Talk) => void): void {
    const device = this.#devices.get(trainerId);
    const talk = device?.talks.find((one) => one.life === life);
    if (!device || !talk) return;
    this.#in(device, 5 + this.#options.upTo(20), () => {
      if (talk.isOpen && device.isAlive) heard(device, talk);
    });
  }

  #elsewhere(device: Device, talk: Talk): number {
    const load = ({ waiting, current }: Talk) => waiting.length + (current ? 1 : 0);
    return device.talks.reduce((sum, other) => sum + (other === talk ? 0 : load(other)), 0);
  }

  #pull(device: Device, talk: Talk): void {
    const room = this.#elsewhere(device, talk) > 0 ? SHARED : ALONE;
    const tasks = room - talk.waiting.length - (talk.current ? 1 : 0) - talk.pulled;
    if (tasks <= 0) return;
    talk.pulled += tasks;
    this.#say(device, talk, { type: "trainer-pulled", trainerId: device.trainerId, tasks });
  }

  #sign(device: Device, talk: Talk): void {
    const { trainerId } = device;
    const tasksElsewhere = this.#elsewhere(device, talk);
    talk.toldOfOthers = tasksElsewhere > 0;
    const waiting = device.computing !== undefined && !talk.current && talk.waiting.length > 0;
    const computing = talk.current?.task.taskId ?? "";
    this.#say(device, talk, { type: "trainer-heard", trainerId, computing, tasksElsewhere, waiting });
  }

  #beat(device: Device, talk: Talk): void {
    const { agenda, heartbeatMs } = this.#options;
    if (!talk.isOpen || !device.isAlive || heartbeatMs === Infinity) return;
    this.#sign(device, talk);
    agenda.in(heartbeatMs, () => this.#beat(device, talk));
  }

  /** A conversation has more or less for the device than before. */
  #changed(device: Device): void {
    this.#begin(device);
    for (const talk of device.talks) this.#pull(device, talk);
    if (device.isSharing) return;
    device.isSharing = true;
    this.#options.agenda.in(SHARE_MS, () => {
      device.isSharing = false;
      for (const talk of device.talks) {
        if (this.#elsewhere(device, talk) > 0 !== talk.toldOfOthers) this.#sign(device, talk);
      }
    });
  }

  /** The coordinator that was served least recently comes first. */
  #begin(device: Device): void {
    const talk = device.talks.find(({ waiting }) => waiting.length > 0);
    if (device.computing || !talk) return;
    const work = talk.waiting.shift() as Work;
    device.talks = [...device.talks.filter((other) => other !== talk), talk];
    talk.current = work;
    talk.isDropped = false;
    const { agenda, computeMs: timeOf, happens, deaths } = this.#options;
    device.computing = { startedMs: agenda.nowMs };
    const computeMs = timeOf(work.task, device.trainerId);
    agenda.in(computeMs, () => {
      if (!device.isAlive) return;
      if (happens(deaths)) return this.die(device.trainerId);
      device.computing = undefined;
      talk.current = undefined;
      const isWanted = talk.isOpen && !talk.isDropped;
      this.time[isWanted ? "computed" : "unwanted"] += computeMs;
      if (isWanted) this.#answer(device, talk, work, computeMs);
      this.#changed(device);
    });
  }

  /** A result takes its own route, and may be late, duplicated or lost; a loss is reported as a failure. */
  #answer(device: Device, talk: Talk, { task, adapter }: Work, computeMs: number): void {
    const { upTo, happens, losses } = this.#options;
    const { taskId, microBatch } = task;
    const times = { computeMs, waitMs: 0, fetchMs: 0 };
    const result = { lossSum: gradientOf(adapter, microBatch), targetTokens: 1, gradients: new Map(), ...times };
    const isLost = happens(losses) && this.#mayFail(task);
    const copies = isLost ? Number(happens(0.5)) : happens(losses) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = happens(losses) ? upTo(20_000) : upTo(30);
      this.#in(device, delayMs, () => talk.life.happen({ type: "result-arrived", taskId, result }));
    }
    const failure = { permanent: false, code: "unavailable", message: "the connection broke" };
    if (isLost) this.#say(device, talk, { type: "task-failed", taskId, ...failure });
  }

  /** Fewer failures of a micro-batch than fail its run. */
  #mayFail({ runId, step, evaluation, microBatch }: Task): boolean {
    const key = `${runId}/${evaluation ? "e" : ""}${step}/${microBatch}`;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    if (failures > 2) return false;
    this.#failures.set(key, failures);
    return true;
  }
}
