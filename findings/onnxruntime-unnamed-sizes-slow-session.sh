#!/usr/bin/env bash
# onnxruntime 1.30.0 (PyPI), CPU, x64.
# Expected: how long a session takes to make grows with the number of nodes, whether or not the model says the shapes of the
# values between them, since that is optional.
# Seen: where shape inference cannot name their sizes (after a Reshape to a shape that is fed), four times the nodes take far
# more than eight times as long: each buffer that becomes free stays in a list that is searched for every later one, with
# types parsed from text each time. With the same shapes in value_info buffers are found and used again, and time grows with the nodes.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.30.0 numpy
cat >run.py <<'PY'
import time

import onnxruntime
from onnx import TensorProto, helper


def model(count, with_shapes):
    """Reshape, Exp and Softmax, one after another: each buffer is free once the next is there."""
    nodes, shapes = [], []
    last = "x"
    for i in range(count):
        nodes += [
            helper.make_node("Reshape", [last, "shape"], [f"flat{i}"]),
            helper.make_node("Exp", [f"flat{i}"], [f"exp{i}"]),
            helper.make_node("Softmax", [f"exp{i}"], [f"soft{i}"]),
        ]
        shapes += [helper.make_tensor_value_info(f"{name}{i}", TensorProto.FLOAT, ["N", 4]) for name in ("flat", "exp", "soft")]
        last = f"soft{i}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("x", TensorProto.FLOAT, ["N", 4]), value("shape", TensorProto.INT64, [2])],
        [value(last, TensorProto.FLOAT, ["N", 4])],
        value_info=shapes if with_shapes else [],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def seconds(count, with_shapes):
    data = model(count, with_shapes)
    begin = time.process_time()
    onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return time.process_time() - begin


for with_shapes in (False, True):
    growth = seconds(2400, with_shapes) / seconds(600, with_shapes)
    print(f"value_info {int(with_shapes)}: four times the nodes, {'more' if growth > 8 else 'less'} than eight times the seconds")
PY
venv/bin/python run.py | tee seen
cat >expected <<'SEEN'
value_info 0: four times the nodes, more than eight times the seconds
value_info 1: four times the nodes, less than eight times the seconds
SEEN
diff expected seen >/dev/null || { echo "this has changed"; exit 1; }
