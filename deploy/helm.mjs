// Prints the path of helm, which checks and installs the chart in deploy/helm.
import { printGoTool } from "./go-tool.mjs";

printGoTool({ name: "helm", main: "helm.sh/helm/v3/cmd/helm", version: "v3.18.6" });
