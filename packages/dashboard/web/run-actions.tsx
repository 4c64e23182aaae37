/** Pause, resume and cancel. */
import { useRef, useState } from "preact/hooks";
import { post } from "./api.js";
import { hasEnded, stateName, type RunJson } from "./messages.js";

type Action = "pause" | "resume" | "cancel";

export function RunActions({ run }: { run: RunJson }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState<Action>();
  const [message, setMessage] = useState("");
  const act = async (action: Action) => {
    setBusy(action);
    setMessage("");
    try {
      const answer = await post<{ run: RunJson }>(`/api/runs/${encodeURIComponent(run.runId)}/${action}`);
      setMessage(`The run is ${stateName(answer.run.state)}.`);
    } catch (error) {
      setMessage(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(undefined);
    }
  };
  const isPaused = stateName(run.state) === "paused";
  return (
    <div class="actions">
      {!hasEnded(run) && (
        <>
          <button
            type="button"
            aria-disabled={busy !== undefined}
            onClick={() => busy ?? void act(isPaused ? "resume" : "pause")}
          >
            {isPaused ? "Resume" : "Pause"}
          </button>
          <button type="button" class="danger" onClick={() => dialog.current?.showModal()}>
            Cancel run…
          </button>
        </>
      )}
      <p role="status">{message}</p>
      <dialog ref={dialog} aria-labelledby="cancel-title" aria-describedby="cancel-text">
        <h2 id="cancel-title">Cancel this run?</h2>
        <p id="cancel-text">It stops for good. What it saved stays in {run.spec?.outputDir}.</p>
        <form method="dialog" class="actions">
          <button>Keep it running</button>
          <button class="danger" onClick={() => void act("cancel")}>
            Cancel the run
          </button>
        </form>
      </dialog>
    </div>
  );
}
