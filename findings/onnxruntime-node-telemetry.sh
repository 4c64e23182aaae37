#!/usr/bin/env bash
# onnxruntime-node 1.30.0 on Linux.
# Expected: a library that runs models on this machine makes no connections of its own.
# Seen: once a session has been made, it sends usage data to mobile.events.data.microsoft.com, as the proxy that is named in
# the environment sees; with ORT_DISABLE_TELEMETRY=1 before the library is loaded, it does not.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --no-audit --no-fund onnxruntime-node@1.30.0
cat >session.mjs <<'JS'
import { InferenceSession } from "onnxruntime-node";
// y = Identity(x), of two floats.
const model = "CAk6OAoQCgF4EgF5IghJZGVudGl0eRICaWRaDwoBeBIKCggIARIECgIIAmIPCgF5EgoKCAgBEgQKAggCQgQKABAR";
await InferenceSession.create(Buffer.from(model, "base64"));
await new Promise((resolve) => setTimeout(resolve, 20_000));
JS
cat >proxy.mjs <<'JS'
import { spawn } from "node:child_process";
import { createServer } from "node:http";
const server = createServer();
for (const off of [undefined, "1"]) {
  const asked = new Set();
  server.removeAllListeners("connect");
  server.on("connect", ({ url }, socket) => { asked.add(url); socket.destroy(); });
  if (!server.listening) await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = `http://127.0.0.1:${server.address().port}`;
  const env = { ...process.env, https_proxy: proxy, http_proxy: proxy, no_proxy: "", ...(off && { ORT_DISABLE_TELEMETRY: off }) };
  await new Promise((resolve) => spawn(process.execPath, ["session.mjs"], { env, stdio: "inherit" }).on("exit", resolve));
  console.log(`ORT_DISABLE_TELEMETRY ${off ?? "unset"}: ${[...asked].join(" ") || "no connection"}`);
}
server.close();
JS
node proxy.mjs | tee seen
diff - seen <<'TXT' || { echo "this has changed"; exit 1; }
ORT_DISABLE_TELEMETRY unset: mobile.events.data.microsoft.com:443
ORT_DISABLE_TELEMETRY 1: no connection
TXT
