export interface LossScalerState {
  /** What the loss is multiplied by: a power of two, so that scaling rounds nothing. */
  scale: number;
  /** Steps in a row whose gradients were finite, since the scale changed. */
  goodSteps: number;
}

const GROWTH_FACTOR = 2;
const BACKOFF_FACTOR = 0.5;
export const GROWTH_INTERVAL = 2_000;

/** torch.amp.GradScaler's first scale. */
export const NEW_LOSS_SCALER: LossScalerState = { scale: 65_536, goodSteps: 0 };

/**
 * Dynamic loss scaling (Micikevicius et al. 2018, section 3.2) by the rule and numbers of torch.amp.GradScaler: gradients
 * that are computed in float16 vanish unless the loss is scaled up, and where that makes them infinite the step is
 * skipped and the scale halves; after 2,000 good steps in a row it doubles.
 */
export class LossScaler {
  #state: LossScalerState;

  constructor(state: LossScalerState = NEW_LOSS_SCALER) {
    this.#state = state;
  }

  get state(): LossScalerState {
    return this.#state;
  }

  /** After each step: whether its gradients were finite. */
  update(finite: boolean): void {
    const { scale, goodSteps } = this.#state;
    if (!finite) this.#state = { scale: scale * BACKOFF_FACTOR, goodSteps: 0 };
    else if (goodSteps + 1 < GROWTH_INTERVAL) this.#state = { scale, goodSteps: goodSteps + 1 };
    // As in torch, no further than float32 reaches.
    else
      this.#state = {
        scale: Math.fround(scale * GROWTH_FACTOR) < Infinity ? scale * GROWTH_FACTOR : scale,
        goodSteps: 0,
      };
  }
}
