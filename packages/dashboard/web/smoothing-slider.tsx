/** How much a curve is smoothed. */
import { useId } from "preact/hooks";
import { changeQuery, setAll } from "./route.js";
import { MAX_SMOOTHING } from "./smoothing.js";

export function SmoothingSlider({ value }: { value: number }) {
  const id = useId();
  const onInput = ({ currentTarget }: { currentTarget: HTMLInputElement }) =>
    changeQuery((query) => setAll(query, "smooth", Number(currentTarget.value) > 0 ? [currentTarget.value] : []));
  return (
    <div class="smoothing">
      <label for={id}>Smoothing</label>
      <input {...{ id, type: "range", min: 0, max: MAX_SMOOTHING, step: 0.01, value, onInput }} />
      <span class="number">{value.toFixed(2)}</span>
    </div>
  );
}
