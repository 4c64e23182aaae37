import { GradpoolError } from "@gradpool/errors";

/** Flat float32 values of each tensor by name; an adapter's tensors fit. */
export type NamedTensors = ReadonlyMap<string, { readonly data: Float32Array }>;

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled weight decay (Loshchilov & Hutter 2019). */
  weightDecay: number;
}

/** First and second moment of one tensor's gradient. */
export interface Moments {
  expAvg: Float32Array;
  expAvgSq: Float32Array;
}

export interface AdamWState {
  /** Steps made. */
  step: number;
  /** By tensor name. */
  moments: ReadonlyMap<string, Moments>;
}

/**
 * AdamW as torch.optim.AdamW computes it for float32 tensors on a CPU with foreach=False
 * (torch/optim/adam.py, _single_tensor_adam): scalars in float64, tensors in float32, rounded wherever
 * torch's kernels round. Two differences are left: pow in the bias corrections (the last bit of a
 * float64), and the square root, which is rounded correctly here and in torch without MKL, while MKL's
 * is off by one unit in the last place now and then. The same input gives the same bits everywhere (I2).
 */
export class AdamW {
  readonly #parameters: NamedTensors;
  readonly #options: AdamWOptions;
  readonly #moments = new Map<string, Moments>();
  #step = 0;

  /** `parameters` are changed in place by `step`. Errors: `data_loss` when `state` belongs to other tensors. */
  constructor(parameters: NamedTensors, options: AdamWOptions, state?: AdamWState) {
    this.#parameters = parameters;
    this.#options = options;
    for (const [name, { data }] of parameters) {
      const saved = state?.moments.get(name);
      if (state) checkMoments(name, saved, data.length);
      const expAvg = saved ? saved.expAvg.slice() : new Float32Array(data.length);
      const expAvgSq = saved ? saved.expAvgSq.slice() : new Float32Array(data.length);
      this.#moments.set(name, { expAvg, expAvgSq });
    }
    for (const name of state?.moments.keys() ?? []) {
      if (!parameters.has(name)) throw foreignState(`it has moments of ${name}, which is not trained`);
    }
    this.#step = state?.step ?? 0;
  }

  /** The state as it is, not a copy: later steps change it. */
  get state(): AdamWState {
    return { step: this.#step, moments: this.#moments };
  }

  /** One update by the gradients of all parameters; a missing one or one of another length is a bug and throws. */
  step(gradients: NamedTensors, learningRate: number): void {
    for (const [name, { data }] of this.#parameters) {
      const length = gradients.get(name)?.data.length;
      if (length !== data.length) throw new Error(`gradient of ${name}: ${length} values instead of ${data.length}`);
    }
    this.#step += 1;
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const biasCorrection1 = 1 - beta1 ** this.#step;
    const biasCorrection2 = 1 - beta2 ** this.#step;
    const scalars: UpdateScalars = {
      // Times 1 changes nothing, so a decay of 0 is not a special case.
      decay: 1 - learningRate * weightDecay,
      beta1,
      beta2,
      stepSize: learningRate / biasCorrection1,
      biasCorrection2Sqrt: Math.sqrt(biasCorrection2),
      epsilon,
    };
    for (const [name, { data }] of this.#parameters) {
      const gradient = gradients.get(name)?.data as Float32Array;
      update(data, gradient, this.#moments.get(name) as Moments, scalars);
    }
  }
}

interface UpdateScalars {
  decay: number;
  beta1: number;
  beta2: number;
  stepSize: number;
  biasCorrection2Sqrt: number;
  epsilon: number;
}

/**
 * One tensor's update. Every Math.fround is a rounding that torch's vectorized kernels make; where they
 * use a fused multiply-add, the product stays in float64, which holds it exactly.
 */
function update(parameter: Float32Array, gradient: Float32Array, moments: Moments, scalars: UpdateScalars): void {
  const { expAvg, expAvgSq } = moments;
  const fround = Math.fround;
  const decay = fround(scalars.decay);
  const weight = fround(1 - scalars.beta1);
  // lerp_ starts from the nearer end: from the gradient when its weight is a half or more.
  const origin = weight < 0.5 ? expAvg : gradient;
  const coefficient = weight < 0.5 ? weight : fround(weight - 1);
  const beta2 = fround(scalars.beta2);
  const oneMinusBeta2 = fround(1 - scalars.beta2);
  const negativeStepSize = fround(-scalars.stepSize);
  const biasCorrection2Sqrt = fround(scalars.biasCorrection2Sqrt);
  const epsilon = fround(scalars.epsilon);
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i] as number;
    const m = fround((origin[i] as number) + coefficient * fround(g - (expAvg[i] as number)));
    const v = fround(fround(beta2 * (expAvgSq[i] as number)) + fround(oneMinusBeta2 * g) * g);
    expAvg[i] = m;
    expAvgSq[i] = v;
    const denominator = fround(fround(fround(Math.sqrt(v)) / biasCorrection2Sqrt) + epsilon);
    const change = fround(fround(negativeStepSize * m) / denominator);
    parameter[i] = fround(fround(decay * (parameter[i] as number)) + change);
  }
}

function checkMoments(name: string, saved: Moments | undefined, length: number): void {
  if (!saved) throw foreignState(`it has no moments of ${name}`);
  if (saved.expAvg.length !== length || saved.expAvgSq.length !== length) {
    throw foreignState(`its moments of ${name} have ${saved.expAvg.length} values instead of ${length}`);
  }
}

function foreignState(what: string): GradpoolError {
  const message = `the optimizer's state does not fit the adapter: ${what}; resume from another checkpoint`;
  return new GradpoolError("data_loss", message);
}
