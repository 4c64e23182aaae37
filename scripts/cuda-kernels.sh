#!/usr/bin/env bash
# Asks ONNX Runtime's real CUDA provider, without a GPU, which kernels it has, and creates sessions on it of every graph that
# gradpool emits, without CPU fallback. CUDA itself is replaced by scripts/cuda-stub.c.
# Usage: scripts/cuda-kernels.sh [--write]     --write rewrites integration-tests/fixtures/cuda-kernels.json
# Needs Linux on x86-64, a built checkout, cc, readelf, and what scripts/cuda-provider.sh needs.
set -euo pipefail
cd "$(dirname "$0")/.."

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
modules=$temporary/node_modules
libraries=$modules/onnxruntime-node/bin/napi-v6/linux/x64
mkdir -p "$modules" "$temporary/stubs"
cp -r node_modules/onnxruntime-node node_modules/onnxruntime-common "$modules"
if [ -n "${GRADPOOL_CUDA_PROVIDER:-}" ]; then
  ln -sf "$GRADPOOL_CUDA_PROVIDER"/libonnxruntime_providers_{cuda,shared}.so "$libraries"
else
  scripts/cuda-provider.sh "$libraries"
fi

# For each CUDA library that the provider needs: the functions that it uses, taken from the stub or generated to
# return 0. A library may contain more than is used.
provider=$libraries/libonnxruntime_providers_cuda.so
symbols=$(readelf --wide --dyn-syms "$provider" | awk '$7 == "UND" { print $8 }')
for library in $(readelf --dynamic "$provider" | sed -n 's/.*NEEDED.*\[\(libcu[^]]*\)\]/\1/p'); do
  source=$temporary/${library%%.*}.c
  cp scripts/cuda-stub.c "$source"
  # cuda.h's own symbols carry no version.
  for symbol in $(grep "@$library\$" <<<"$symbols" | sed 's/@.*//') $(grep '^cu[A-Z][A-Za-z]*$' <<<"$symbols" || true); do
    grep -q "[ *]$symbol(" "$source" || echo "int $symbol(void) { return 0; }" >>"$source"
  done
  echo "$library { global: *; };" >"$temporary/version"
  cc -w -shared -fPIC -o "$temporary/stubs/$library" -Wl,-soname,"$library" -Wl,--version-script="$temporary/version" "$source"
done

main=$(cd "$modules" && node -p 'require.resolve("./onnxruntime-node")')
LD_LIBRARY_PATH=$temporary/stubs node integration-tests/dist/src/ask-cuda-provider.js "$main" "$@"
