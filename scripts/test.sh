#!/usr/bin/env bash
# Installs what is missing, builds everything, compiles each public header alone, and runs every
# test. What it builds stays in build/release. The same by hand: `cmake --workflow --preset test`.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  echo "test.sh: it takes no arguments; for some of the tests: ctest --preset release -R PATTERN" >&2
  exit 2
fi

phase() {
  local name=$1 start=$SECONDS
  shift
  "$@"
  echo "test.sh: $name took $((SECONDS - start)) s"
}

./scripts/deps.sh
phase configure cmake --preset release
phase build cmake --build --preset release
phase tests ctest --preset release
