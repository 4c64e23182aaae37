import { GradpoolError } from "@gradpool/errors";
import { watchEnd, type Interceptor } from "@gradpool/rpc";

/** What OpenSSL and Node say, and what it means for the user. */
const PROBLEMS: readonly [RegExp, string][] = [
  [/self-signed certificate|unable to (verify|get)/i, "its certificate is from another authority; check --tls_ca"],
  [/altnames/, "its certificate is not for this name; make one with gradpool certs init --host NAME on its machine"],
  [/certificate has expired/, "its certificate has expired; run gradpool certs init on its machine"],
  [/alert (certificate|unknown ca|bad certificate)/, "it refuses this certificate; check --tls_cert and --tls_key"],
  [/wrong version number/, "it does not use TLS; leave out --tls_ca, --tls_cert and --tls_key, and GRADPOOL_TLS_CA"],
];

/** Says at once why there is no encrypted connection: unlike a coordinator that is away, this does not pass. */
export const tlsProblems =
  (route: string): Interceptor =>
  (next) =>
  (call) =>
    watchEnd(
      () => next(call),
      (failure) => {
        if (!failure) return undefined;
        const error = GradpoolError.from(failure.error);
        const [, meaning] = PROBLEMS.find(([said]) => error.code === "unavailable" && said.test(error.message)) ?? [];
        return meaning === undefined
          ? failure.error
          : new GradpoolError("failed_precondition", `no connection to ${route}: ${meaning}`, { cause: error });
      },
    );
