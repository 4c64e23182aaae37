/** What is wrong with the environment's variables. */
import { grpcProxy, grpcProxyUrl } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { modelPlaces } from "@gradpool/hub";
import { ADDRESS_VARIABLE, CLI_VARIABLES, STORE_VARIABLE } from "../config.js";
import { isAddress } from "../flags.js";
import { nearest } from "../nearest.js";

/** Services have variables of their own: only likely typos are reported. */
export function environmentProblems(env: NodeJS.ProcessEnv): string[] {
  const problems: string[] = [];
  for (const name of [ADDRESS_VARIABLE, STORE_VARIABLE]) {
    const value = env[name];
    if (value && !isAddress(value)) {
      problems.push(`${name} must be HOST:PORT, such as 127.0.0.1:7070, not ${JSON.stringify(value)}`);
    }
  }
  const proxy = grpcProxy(env);
  for (const read of [() => modelPlaces(env), () => proxy && grpcProxyUrl(proxy)]) {
    try {
      read();
    } catch (reason) {
      problems.push(GradpoolError.from(reason).message);
    }
  }
  for (const name of Object.keys(env)) {
    if (!/^GRAD_?POOL/i.test(name) || CLI_VARIABLES.includes(name)) continue;
    const meant = nearest(name.toUpperCase(), CLI_VARIABLES);
    if (meant) problems.push(`${name} is not a gradpool variable; did you mean ${meant}?`);
  }
  return problems;
}
