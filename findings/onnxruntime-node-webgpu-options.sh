#!/usr/bin/env bash
# onnxruntime-node 1.30.0, WebGPU provider on Linux x64; Vulkan by the SwiftShader that comes with Debian 12's chromium.
# Expected: the provider's options, such as powerPreference, reach it from session options, by name or as the configuration
# entries ep.webgpuexecutionprovider.NAME that ONNX Runtime documents.
# Seen: by name they are refused as unrecognized; as entries under `extra` they are accepted and have no effect, even with a
# value that the provider does not know: the binding adds the provider before it reads the entries.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
(apt-get download chromium-common libvulkan1 >/dev/null && for file in *.deb; do dpkg -x "$file" system; done)
export LD_LIBRARY_PATH="$folder/system/usr/lib/x86_64-linux-gnu"
VK_DRIVER_FILES=$(find "$folder/system" -name vk_swiftshader_icd.json); export VK_DRIVER_FILES
[ -n "$VK_DRIVER_FILES" ] || { echo "needs Debian's chromium-common: there is no SwiftShader"; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2
ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --no-audit --no-fund onnxruntime-node@1.30.0
venv/bin/python - <<'PY'
from onnx import TensorProto, helper, save
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"])], "square", [value("x")], [value("y")])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "square.onnx")
PY
cat >run.mjs <<'JS'
import { InferenceSession } from "onnxruntime-node";
const attempts = {
  "by name": { executionProviders: [{ name: "webgpu", powerPreference: "low-power" }] },
  "as an entry": { executionProviders: ["webgpu"], extra: { ep: { webgpuexecutionprovider: { powerPreference: "no such preference" } } } },
};
for (const [how, options] of Object.entries(attempts)) {
  const outcome = await InferenceSession.create("square.onnx", { ...options, logSeverityLevel: 3 }).then(
    () => "accepted",
    (error) => error.message,
  );
  console.log(`${how}: ${outcome}`);
}
process.exit(0);
JS
node run.mjs | tee seen
grep -q "^by name: .*unrecognized option: 'powerPreference'" seen && grep -q "^as an entry: accepted$" seen || { echo "this has changed"; exit 1; }
