#!/usr/bin/env bash
# onnxruntime-node 1.30.0, WebGPU provider on Linux x64; Vulkan by the SwiftShader that comes with Debian 12's chromium.
# Expected: the second output of SimplifiedLayerNormalization (RMSNorm) is the inverse root mean square of each row, as the
# CPU kernel computes it and as training needs it.
# Seen: WebGPU fills it with the row's mean, silently; the first output is right. (LayerNormalization's outputs are all right.)
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
(apt-get download chromium-common libvulkan1 >/dev/null && for file in *.deb; do dpkg -x "$file" system; done)
export LD_LIBRARY_PATH="$folder/system/usr/lib/x86_64-linux-gnu"
VK_DRIVER_FILES=$(find "$folder/system" -name vk_swiftshader_icd.json); export VK_DRIVER_FILES
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2
ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --no-audit --no-fund onnxruntime-node@1.30.0
venv/bin/python - <<'PY'
from onnx import TensorProto, helper, save
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
node = helper.make_node("SimplifiedLayerNormalization", ["x", "scale"], ["y", "inverse_rms"], axis=-1, epsilon=1e-5)
graph = helper.make_graph([node], "norm", [value("x", [2, 4]), value("scale", [4])], [value("y", [2, 4]), value("inverse_rms", [2, 1])])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "norm.onnx")
PY
cat >run.mjs <<'JS'
import { InferenceSession, Tensor } from "onnxruntime-node";
const feeds = {
  x: new Tensor("float32", Float32Array.of(1, 2, 3, 4, -2, 0, 2, 8), [2, 4]),
  scale: new Tensor("float32", Float32Array.of(1, 1, 1, 1), [4]),
};
for (const provider of ["cpu", "webgpu"]) {
  const session = await InferenceSession.create("norm.onnx", { executionProviders: [provider], logSeverityLevel: 3 });
  const { y, inverse_rms } = await session.run(feeds);
  const text = (tensor) => Array.from(tensor.data, (x) => x.toFixed(4)).join(" ");
  console.log(`${provider}: y ${text(y)}; second output ${text(inverse_rms)}`);
}
process.exit(0);
JS
node run.mjs | tee seen
grep -q "^webgpu: .*second output 2.5000 2.0000" seen || { echo "this has changed"; exit 1; }
