#!/usr/bin/env bash
# Profiles of other machines are told of, and two are compared: no libtorch needed.
set -euo pipefail
cleave=$1
golden=$2
work=$3
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

expect 0 "$cleave" profile --diff "$golden/profile-v2.bin" "$golden/profile-v3.bin"
grep -Eq '^edge compute +cpu_share 25 % +60.0 ms +60.0 ms +1.000 +no$' out.txt ||
  fail "no line of the edge's compute: $(cat out.txt)"
expect 0 "$cleave" profile --diff "$golden/profile-v2.bin" "$golden/profile-v3.bin" --json
grep -q '"beyond_spread": false' out.txt || fail "no JSON: $(cat out.txt)"
expect 3 "$cleave" profile --diff "$golden/profile-v3.bin" nowhere.profile
expect 2 "$cleave" profile --diff "$golden/profile-v3.bin"

if "$cleave" optimize "$golden/profile-v2.bin" -o probe.table 2>&1 | grep -q 'no optimizer'; then
  echo "profiles: ok (without an optimizer)"
  exit 0
fi
expect 0 "$cleave" optimize "$golden/profile-v3.bin" --quiet -o foreign.table
grep -q 'warning: .*made elsewhere: machine camera-1, here ' err.txt ||
  fail "a foreign profile is taken silently: $(cat err.txt)"
expect 0 "$cleave" optimize "$golden/profile-v2.bin" --quiet -o old.table
grep -q 'does not tell where it was made' err.txt || fail "an old profile is accepted silently"
echo "profiles: ok"
