/** Services and trainers. */
import { useState } from "preact/hooks";
import { post } from "./api.js";
import { bytes, count, counted } from "@gradpool/format";
import { usePolled } from "./hooks.js";
import { stateName, type PoolJson, type TrainerJson } from "./messages.js";
import { Page, State, Table, Time } from "./page.js";

const EVERY_MS = 2_000;

export function PoolPage() {
  const { data, problem, again } = usePolled<PoolJson>("/api/pool", EVERY_MS);
  const { services = [], trainers = [], activeRuns = 0, pausedRuns = 0 } = data ?? {};
  const sorted = trainers.toSorted((one, other) => one.trainerId.localeCompare(other.trainerId));
  return (
    <Page title="Pool" problem={problem} isLoading={data === undefined}>
      <p>
        {counted(trainers.length, "trainer")}, {counted(activeRuns, "active run")}, {count(pausedRuns)} of them paused
      </p>
      <h2>Trainers</h2>
      {sorted.length === 0 ? (
        <p class="empty">None are connected; runs wait until one is.</p>
      ) : (
        <Trainers trainers={sorted} again={again} />
      )}
      <h2>Services</h2>
      <Table label="services" head={["Service", "Address", "State", "Up since"]} optional={["Up since"]}>
        {services.map(({ name, address, serving, problem: trouble, startedAt }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{address}</td>
            <td>
              <span class={`state ${serving ? "running" : "failed"}`}>{serving ? "serving" : "not serving"}</span>{" "}
              {trouble}
            </td>
            <td class="optional">
              <Time of={startedAt} />
            </td>
          </tr>
        ))}
      </Table>
    </Page>
  );
}

function Trainers({ trainers, again }: { trainers: readonly TrainerJson[]; again: () => void }) {
  const [message, setMessage] = useState("");
  const act = async (trainerId: string, action: "drain" | "undrain") => {
    try {
      const { trainer } = await post<{ trainer: TrainerJson }>(
        `/api/trainers/${encodeURIComponent(trainerId)}/${action}`,
      );
      setMessage(`${trainerId} is ${stateName(trainer.state)}.`);
      again();
    } catch (error) {
      setMessage(error instanceof Error ? error.message : String(error));
    }
  };
  const head = ["Trainer", "Device", "In use", "Tokens/s", "Memory", "Micro-batches", "Run", "State", "Action"];
  return (
    <>
      <p role="status">{message}</p>
      <Table label="trainers" head={head} optional={["Memory", "Micro-batches"]}>
        {trainers.map((trainer) => (
          <TrainerRow key={trainer.trainerId} trainer={trainer} act={act} />
        ))}
      </Table>
    </>
  );
}

interface TrainerRowProps {
  trainer: TrainerJson;
  act: (trainerId: string, action: "drain" | "undrain") => Promise<void>;
}

function TrainerRow({ trainer, act }: TrainerRowProps) {
  const { trainerId, device, host, deviceUse = 0, tokensPerSecond = 0, residentBytes = 0, runId } = trainer;
  const action = stateName(trainer.state) === "active" ? "drain" : "undrain";
  const percent = `${Math.round(100 * deviceUse)} %`;
  return (
    <tr>
      <th scope="row">{trainerId}</th>
      <td>
        {device} <span class="quiet">{host}</span>
      </td>
      <td>
        <meter min={0} max={1} value={deviceUse} aria-label={`device of ${trainerId} in use`} /> {percent}
      </td>
      <td class="number">{count(Math.round(tokensPerSecond))}</td>
      <td class="number optional">{bytes(residentBytes)}</td>
      <td class="number optional">{count(trainer.microBatches ?? 0)}</td>
      <td>{runId ? <a href={`#/runs/${encodeURIComponent(runId)}`}>{runId}</a> : "–"}</td>
      <td>
        <State of={trainer.state} /> {trainer.stateReason}
      </td>
      <td>
        <button type="button" aria-label={`${action} ${trainerId}`} onClick={() => void act(trainerId, action)}>
          {action === "drain" ? "Drain" : "Undrain"}
        </button>
      </td>
    </tr>
  );
}
