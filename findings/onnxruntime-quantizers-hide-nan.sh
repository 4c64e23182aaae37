#!/usr/bin/env bash
# onnxruntime 1.30.0 (PyPI), CPU.
# Expected: a row that contains NaN gives NaN (or an error) after a quantized product, as it does after MatMul, so that code which
# checks the result for NaN sees it.
# Seen: DynamicQuantizeLinear treats NaN as an ordinary number, and everything after it is finite.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.30.0 numpy
cat >run.py <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

weight = numpy_helper.from_array(np.full((4, 2), 3, np.int8), "weight")
nodes = [
    helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
    helper.make_node("MatMulInteger", ["q", "weight", "zero"], ["product"]),
    helper.make_node("Cast", ["product"], ["as_float"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["as_float", "scale"], ["y"]),
]
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
graph = helper.make_graph(nodes, "quantized", [value("x", [2, 4])], [value("y", [2, 2])], [weight])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
rows = np.array([[1, np.nan, 2, 3], [4, 5, 6, 7]], np.float32)
print("finite" if np.isfinite(session.run(None, {"x": rows})[0]).all() else "not finite")
PY
venv/bin/python run.py | tee seen
[ "$(cat seen)" = finite ] || { echo "this has changed"; exit 1; }
