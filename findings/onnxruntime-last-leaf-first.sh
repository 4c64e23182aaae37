#!/usr/bin/env bash
# onnxruntime 1.30.0 (PyPI), CPU, sequential execution.
# Expected: a graph's nodes are computed in the order in which the model lists them, where that order is valid.
# Seen: ONNX Runtime orders them anew. Of the nodes that no other reads the last in the list comes first, with all that it needs, then the
# one before. Here every link of a chain has a square of its own: listed forwards, all links are computed and kept before the first squares
# that come early in the chain; listed in reverse, each square comes as soon as its link is there. A model that lists gradients
# in another order needs another amount of memory.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.30.0 numpy
cat >run.py <<'PY'
import json

import numpy
import onnxruntime
from onnx import TensorProto, helper

LINKS = 4


def computed(reverse):
    """Names of the nodes of a chain and of its squares, in the order in which they were computed."""
    links, squares = [], []
    for i in range(LINKS):
        links.append(helper.make_node("Exp", [f"x{i}"], [f"x{i + 1}"], name=f"link{i + 1}"))
        squares.append(helper.make_node("Mul", [f"x{i + 1}", f"x{i + 1}"], [f"y{i + 1}"], name=f"square{i + 1}"))
    if reverse:
        nodes = links + squares[::-1]
    else:
        nodes = [node for pair in zip(links, squares) for node in pair]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("x0", TensorProto.FLOAT, ["N", 4])],
        [value(f"y{i + 1}", TensorProto.FLOAT, ["N", 4]) for i in range(LINKS)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x0": numpy.zeros((2, 4), numpy.float32)})
    events = json.load(open(session.end_profiling()))
    kernels = [event for event in events if event["name"].endswith("_kernel_time")]
    return " ".join(event["name"].removesuffix("_kernel_time") for event in sorted(kernels, key=lambda event: event["ts"]))


print("listed link by link:", computed(reverse=False))
print("squares in reverse:", computed(reverse=True))
PY
venv/bin/python run.py | tee seen
cat >expected <<'SEEN'
listed link by link: link1 link2 link3 link4 square4 square3 square2 square1
squares in reverse: link1 square1 link2 square2 link3 square3 link4 square4
SEEN
diff expected seen >/dev/null || { echo "this has changed"; exit 1; }
