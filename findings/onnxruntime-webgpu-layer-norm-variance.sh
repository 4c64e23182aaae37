#!/usr/bin/env bash
# onnxruntime-node 1.30.0, WebGPU provider on Linux x64; Vulkan by the SwiftShader that comes with Debian 12's chromium.
# Expected: LayerNormalization of rows far from zero as exact as the CPU kernel's: errors of about 1e-6.
# Seen: WebGPU takes the variance as E[x²] − E[x]². Of rows within 300 ± 0.5 the result is off by more than 0.002, where
# values are at most 1.7; the processor is off by less than 0.00002. Subtracting the mean before avoids it.
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
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
node = helper.make_node("LayerNormalization", ["x", "scale"], ["y"], axis=-1, epsilon=1e-5)
graph = helper.make_graph([node], "norm", [value("x", [1, 64]), value("scale", [64])], [value("y", [1, 64])])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "norm.onnx")
PY
cat >run.mjs <<'JS'
import { InferenceSession, Tensor } from "onnxruntime-node";
const x = Float32Array.from({ length: 64 }, (_, i) => 299.5 + ((i * 37) % 64) / 63);
const mean = x.reduce((sum, value) => sum + value, 0) / 64;
const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 64;
const feeds = { x: new Tensor("float32", x, [1, 64]), scale: new Tensor("float32", new Float32Array(64).fill(1), [64]) };
for (const provider of ["cpu", "webgpu"]) {
  const session = await InferenceSession.create("norm.onnx", { executionProviders: [provider], logSeverityLevel: 3 });
  const { y } = await session.run(feeds);
  const error = Math.max(...x.map((value, i) => Math.abs(y.data[i] - (value - mean) / Math.sqrt(variance + 1e-5))));
  console.log(`${provider}: largest error ${error.toExponential(1)}`);
}
process.exit(0);
JS
node run.mjs | tee seen
awk '/^cpu/ { cpu = $NF } /^webgpu/ { webgpu = $NF } END { exit !(cpu < 2e-5 && webgpu > 2e-3) }' seen || { echo "this has changed"; exit 1; }
