#!/usr/bin/env bash
# Builds scripts/vulkan-shim.c over a Vulkan driver, for tests. Prints the manifest for VK_DRIVER_FILES.
# Usage: scripts/vulkan-shim.sh FOLDER DRIVER.json     Needs cc.
set -euo pipefail
folder=$1 manifest=$2
library=$(sed -nE 's/.*"library_path" *: *"([^"]+)".*/\1/p' "$manifest")
# A bare name is left to the loader's own search.
case $library in */*) library=$(cd "$(dirname "$manifest")" && realpath "$library") ;; esac
cc -Wall -Wextra -shared -fPIC -fvisibility=hidden -DDRIVER="\"$library\"" -o "$folder/vulkan-shim.so" "$(dirname "$0")/vulkan-shim.c" -ldl
echo '{"file_format_version": "1.0.0", "ICD": {"api_version": "1.3.0", "library_path": "'"$folder/vulkan-shim.so"'"}}' >"$folder/vulkan-shim.json"
echo "$folder/vulkan-shim.json"
