#!/usr/bin/env bash
# onnxruntime-node 1.30.0, WebGPU provider on Linux x64; Vulkan by the lavapipe of Mesa 25.0.7, from Debian 12's backports
# (SwiftShader has no float16). Needs Debian 12.
# Expected: a product of float16 matrices is summed in float32 and rounded once, as CUDA's kernels and torch do it (an error of
# at most 2^-11 of each result), or computed in float32, as on ONNX Runtime's processor (no error with these numbers).
# Seen: sums are kept in float16: at 4,096 terms the error is 1.4% of the largest result, 29 times what rounding it costs.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
mkdir -p lists/partial cache/archives/partial
printf 'deb http://deb.debian.org/debian %s main\n' bookworm bookworm-backports >sources.list
apt() {
  apt-get -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Dir::Etc::SourceList="$folder/sources.list" \
    -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root -qq "$@"
}
apt update
packages=(libvulkan1 libllvm15 libedit2 libbsd0 libmd0 libxml2 libicu72 libz3-4 libxcb1 libx11-xcb1 libxcb-dri3-0 libxcb-present0 libxcb-randr0
  libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxshmfence1 libxau6 libxdmcp6 libwayland-client0 libffi8 libelf1)
apt download "${packages[@]}" {mesa-vulkan-drivers,libdrm2,libdrm-amdgpu1}/bookworm-backports
for file in *.deb; do dpkg -x "$file" system; done
libraries=$folder/system/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries VK_DRIVER_FILES=$folder/lavapipe.json
echo '{"file_format_version": "1.0.0", "ICD": {"api_version": "1.4.305", "library_path": "'"$libraries/libvulkan_lvp.so"'"}}' >lavapipe.json
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2
ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --no-audit --no-fund onnxruntime-node@1.30.0
venv/bin/python - <<'PY'
from onnx import TensorProto, helper, save
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
nodes = [
    helper.make_node("Cast", ["a"], ["a16"], to=TensorProto.FLOAT16),
    helper.make_node("Cast", ["b"], ["b16"], to=TensorProto.FLOAT16),
    helper.make_node("MatMul", ["a16", "b16"], ["y16"]),
    helper.make_node("Cast", ["y16"], ["y"], to=TensorProto.FLOAT),
]
graph = helper.make_graph(nodes, "product", [value("a", [8, 4096]), value("b", [4096, 40])], [value("y", [8, 40])])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "product.onnx")
PY
cat >run.mjs <<'JS'
import { InferenceSession, Tensor } from "onnxruntime-node";
const [M, K, N] = [8, 4096, 40];
let seed = 1;
// Multiples of 1/256 within ±1, which float16 holds.
const numbers = (length) => Float32Array.from({ length }, () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.round((seed / 2 ** 31 - 1) * 256) / 256;
});
const [a, b] = [numbers(M * K), numbers(K * N)];
const exact = Array.from({ length: M * N }, (_, i) => {
  let sum = 0;
  for (let k = 0; k < K; k++) sum += a[Math.floor(i / N) * K + k] * b[k * N + (i % N)];
  return sum;
});
const feeds = { a: new Tensor("float32", a, [M, K]), b: new Tensor("float32", b, [K, N]) };
for (const provider of ["cpu", "webgpu"]) {
  const options = { executionProviders: [provider], logSeverityLevel: 3 };
  if (provider === "webgpu") options.extra = { session: { disable_cpu_ep_fallback: "1" } };
  const session = await InferenceSession.create("product.onnx", options);
  const { y } = await session.run(feeds);
  const error = Math.max(...exact.map((x, i) => Math.abs(y.data[i] - x))) / Math.max(...exact.map(Math.abs));
  console.log(`${provider}: largest error ${error.toExponential(1)} of the largest result`);
}
process.exit(0);
JS
node run.mjs 2>/dev/null | tee seen
grep -q "^cpu: largest error 0.0e+0" seen && grep -q "^webgpu: largest error 1.4e-2" seen || { echo "this has changed"; exit 1; }
