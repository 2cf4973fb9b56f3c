#!/usr/bin/env bash
# Profiles of other machines are refused unless asked for, and two are compared: no libtorch needed.
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
grep -Eq '^edge compute +cpu_share 25 % +60 ms +60 ms +1.000 +no$' out.txt ||
  fail "no line of the edge's compute: $(cat out.txt)"
expect 0 "$cleave" profile --diff "$golden/profile-v2.bin" "$golden/profile-v3.bin" --json
grep -q '"beyond_spread": false' out.txt || fail "no JSON: $(cat out.txt)"
expect 3 "$cleave" profile --diff "$golden/profile-v3.bin" nowhere.profile
expect 2 "$cleave" profile --diff "$golden/profile-v3.bin"

expect 0 "$cleave" optimize --help
if ! grep -q accept-foreign out.txt; then
  fail "optimize does not tell how foreign profiles are accepted"
fi
if "$cleave" optimize "$golden/profile-v2.bin" -o probe.table 2>&1 | grep -q 'no optimizer'; then
  echo "profiles: ok (without an optimizer)"
  exit 0
fi
expect 3 "$cleave" optimize "$golden/profile-v3.bin" -o foreign.table
grep -q 'made elsewhere: machine camera-1, here ' err.txt || fail "the error names nothing: $(cat err.txt)"
[ "$(wc -l <err.txt)" = 1 ] || fail "not one line: $(cat err.txt)"
[ ! -e foreign.table ] || fail "a table was made of a foreign profile"
expect 0 "$cleave" optimize "$golden/profile-v3.bin" --accept-foreign --quiet -o foreign.table
grep -q 'warning: .*camera-1' err.txt || fail "a foreign profile is accepted silently"
expect 0 "$cleave" optimize "$golden/profile-v2.bin" --quiet -o old.table
grep -q 'does not tell where it was made' err.txt || fail "an old profile is accepted silently"
echo "profiles: ok"
