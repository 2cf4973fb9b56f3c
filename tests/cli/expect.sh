# Shared by all scripts here: sourced after `work` is set, which is made anew and entered.
set -euo pipefail
rm -rf "$work"
mkdir -p "$work"
cd "$work"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# expect CODE COMMAND...: output in out.txt, errors in err.txt.
expect() {
  local code=$1 got=0
  shift
  "$@" >out.txt 2>err.txt || got=$?
  [ "$got" = "$code" ] || fail "exit code $got, not $code: $* ($(cat err.txt))"
}
