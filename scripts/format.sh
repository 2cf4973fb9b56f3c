#!/usr/bin/env bash
# Formats every C++ file that git tracks, as .clang-format says (clang-format 14).
#
#   scripts/format.sh          format in place
#   scripts/format.sh --check  only say what is not formatted, and fail if anything is not
set -euo pipefail
cd "$(dirname "$0")/.."

command -v clang-format >/dev/null || {
  echo "format.sh: no clang-format here; install it: apt-get install clang-format" >&2
  exit 1
}
case ${1:-} in
  "") mode=(-i) ;;
  --check) mode=(--dry-run --Werror) ;;
  *)
    echo "format.sh: unknown option '$1'; the only one is --check" >&2
    exit 2
    ;;
esac
git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format "${mode[@]}" --
