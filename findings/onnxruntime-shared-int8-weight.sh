#!/usr/bin/env bash
# onnxruntime 1.30.0 (PyPI), CPU, x64.
# Expected: session.x64quantprecision = 1, which asks for products of int8 weights that do not overflow on processors without
# VNNI, works with every model, as it does not change what a model means.
# Seen: a session of a model in which two products (MatMulIntegerToFloat) share a weight with numbers beyond ±64 is refused:
# "Attempt to replace the existing tensor". Without the setting, or with a weight for each, it runs.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.30.0 numpy
cat >run.py <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def outcome(weights, precise):
    names = [f"weight{i}" for i in range(weights)]
    constants = [numpy_helper.from_array(np.full((4, 2), -100, np.int8), name) for name in names]
    constants.append(numpy_helper.from_array(np.uint8(128), "zero"))
    constants.append(numpy_helper.from_array(np.float32(1), "scale"))
    product = lambda i: helper.make_node(
        "MatMulIntegerToFloat",
        [f"x{i}", names[i % weights], "scale", "scale", "zero"],
        [f"y{i}"],
        domain="com.microsoft",
    )
    nodes = [product(0), product(1)]
    value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
    inputs = [value(f"x{i}", TensorProto.UINT8, [3, 4]) for i in range(2)]
    outputs = [value(f"y{i}", TensorProto.FLOAT, [3, 2]) for i in range(2)]
    model = helper.make_model(
        helper.make_graph(nodes, "products", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=9,
    )
    options = onnxruntime.SessionOptions()
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        rows = np.full((3, 4), 129, np.uint8)
        return str(session.run(None, {"x0": rows, "x1": rows})[1].tolist()[0])
    except Exception as error:
        return "refused: " + ("replaces a tensor" if "replace the existing tensor" in str(error) else str(error))


for weights, precise in ((1, False), (2, True), (1, True)):
    print(f"{weights} weight(s), x64quantprecision {int(precise)}: {outcome(weights, precise)}")
PY
venv/bin/python run.py 2>/dev/null | tee seen
cat >expected <<'SEEN'
1 weight(s), x64quantprecision 0: [-400.0, -400.0]
2 weight(s), x64quantprecision 1: [-400.0, -400.0]
1 weight(s), x64quantprecision 1: refused: replaces a tensor
SEEN
diff expected seen >/dev/null || { echo "this has changed"; exit 1; }
