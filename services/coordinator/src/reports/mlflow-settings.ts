/** The variables by which MLflow's own clients find their server. */
import type { ProxySettings } from "@gradpool/hub";
import type { MlflowSettings } from "./mlflow-client.js";

export interface MlflowVariables {
  MLFLOW_TRACKING_URI?: string | undefined;
  MLFLOW_EXPERIMENT_NAME?: string | undefined;
  MLFLOW_TRACKING_TOKEN?: string | undefined;
  MLFLOW_TRACKING_USERNAME?: string | undefined;
  MLFLOW_TRACKING_PASSWORD?: string | undefined;
}

/** MLflow's own. */
const DEFAULT_EXPERIMENT = "Default";

/** The server; or why runs cannot be reported to one, which matters only to those that ask for it. */
export function mlflowSettings(variables: MlflowVariables, proxy: ProxySettings | undefined): MlflowSettings | string {
  const { MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: token } = variables;
  if (!uri)
    return "this pool knows no MLflow server; set MLFLOW_TRACKING_URI=http://HOST:5000 where the pool, or gradpool train, starts";
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    return "MLFLOW_TRACKING_URI of the coordinator is not the address of a server; set http://HOST:5000 (mlflow server)";
  }
  const user = variables.MLFLOW_TRACKING_USERNAME ?? decodeURIComponent(url.username);
  const password = variables.MLFLOW_TRACKING_PASSWORD ?? decodeURIComponent(url.password);
  const basic = user && password && `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  return {
    url: `${url.origin}${url.pathname}`.replace(/\/+$/, ""),
    experiment: variables.MLFLOW_EXPERIMENT_NAME || DEFAULT_EXPERIMENT,
    // Where both are given, MLflow's own client takes user and password.
    authorization: basic || (token ? `Bearer ${token}` : undefined),
    proxy,
  };
}
