#!/usr/bin/env bash
# Fuzzes each reader of foreign bytes that needs no libtorch with libFuzzer under AddressSanitizer and
# UBSan, as many at once as there are processors. What a run finds is kept in build/fuzz/findings, its
# corpus in build/fuzz/corpus. Where clang's libFuzzer is missing it says so and fails.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]      60 seconds and all targets unless told otherwise
set -euo pipefail
cd "$(dirname "$0")/.."

command -v clang++ >/dev/null || {
  echo "fuzz.sh: there is no clang++; ./scripts/deps.sh installs it (Debian: clang libclang-rt-dev)" >&2
  exit 1
}
seconds=${1:-60}
[ $# -gt 0 ] && shift
cmake --preset fuzz
cmake --build --preset fuzz --target cleave_fuzzers
programs=build/fuzz/tests/fuzz
if [ $# -eq 0 ]; then
  set -- $(cd "$programs" && ls | sed -n 's/^fuzz_\([a-z_]*\)$/\1/p')
fi
mkdir -p build/fuzz/findings

fuzz() {
  local target=$1 corpus=build/fuzz/corpus/$1
  mkdir -p "$corpus"
  if "$programs/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
       -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$target-" "$corpus" \
       "tests/fuzz/seeds/$target" > "build/fuzz/$target.log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$target.log") runs, nothing found"
  else
    tail -n 40 "build/fuzz/$target.log"
    echo "$target: failed; the input is in build/fuzz/findings"
    return 1
  fi
}
export -f fuzz
export programs seconds
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}'
