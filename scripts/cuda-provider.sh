#!/usr/bin/env bash
# Downloads ONNX Runtime's CUDA provider, which is not on npm: takes it from PyPI's onnxruntime-gpu of the same
# version, built for CUDA 13, checks SHA-256, and puts it next to onnxruntime-node's library, or into FOLDER.
# Usage: scripts/cuda-provider.sh [FOLDER]     Needs Linux on x86-64, Python 3 with pip, unzip and sha256sum.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.30.0
provider=libonnxruntime_providers_cuda.so
shared=libonnxruntime_providers_shared.so
checksums="35da2e7ed0dd0d1aec5cdb16ce11a51d06c0c48cf62d1b1c9332946a4fae14fc  $provider
086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d  $shared"

fail() {
  echo "cuda-provider: $1" >&2
  exit 1
}

installed=$(node -p 'require("onnxruntime-node/package.json").version') || fail "onnxruntime-node is not there; run npm ci"
[ "$installed" = "$version" ] || fail "onnxruntime-node is $installed, and this script knows the provider of $version only"
folder=${1:-$(dirname "$(node -p 'require.resolve("onnxruntime-node/package.json")')")/bin/napi-v6/linux/x64}
[ -d "$folder" ] || fail "$folder is not a folder"

if [ -f "$folder/$provider" ] && (cd "$folder" && sha256sum --check --status <<<"$checksums"); then
  echo "the provider is in $folder already"
  exit 0
fi

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --dest "$temporary" "onnxruntime-gpu==$version" ||
  fail "pip cannot download onnxruntime-gpu $version; check the network, or carry the wheel's $provider and $shared to $folder"
unzip -q -j "$temporary"/onnxruntime_gpu-*.whl "onnxruntime/capi/$provider" "onnxruntime/capi/$shared" -d "$temporary"
(cd "$temporary" && sha256sum --check --quiet <<<"$checksums") || fail "what was downloaded is not what was checked"
# Renamed into place: a truncated copy never has this name.
for file in "$shared" "$provider"; do
  cp "$temporary/$file" "$folder/$file.partial"
  mv "$folder/$file.partial" "$folder/$file"
done
echo "the provider is in $folder; it needs CUDA 13's cuBLAS, cuRAND and runtime: gradpool doctor says whether they are found"
