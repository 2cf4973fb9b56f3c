#!/usr/bin/env bash
# Profiles of other machines are told of, and two are compared: no libtorch needed.
cleave=$1
golden=$2
work=$3
. "$(dirname "$0")/expect.sh"

expect 0 "$cleave" profile --diff "$golden/profile-v2.bin" "$golden/profile-v3.bin"
grep -Eq '^edge compute +cpu_share 25 % +60.0 ms +60.0 ms +1.000 +no$' out.txt ||
  fail "no line of the edge's compute: $(cat out.txt)"
expect 0 "$cleave" profile --diff "$golden/profile-v2.bin" "$golden/profile-v3.bin" --json
grep -q '"beyond_spread": false' out.txt || fail "no JSON: $(cat out.txt)"
expect 3 "$cleave" profile --diff "$golden/profile-v3.bin" nowhere.profile
expect 2 "$cleave" profile --diff "$golden/profile-v3.bin"

# Two halves of one machine are pooled: 40 passes and 40 are 80.
expect 0 "$cleave" profile --merge "$golden/profile-v3.bin" "$golden/profile-v4.bin" -o merged.profile
grep -q "the edge's halves of 2 profiles are united: 3 settings, 2 of them pooled" out.txt ||
  fail "$(cat out.txt)"
grep -q 'dropped: the error of the predictions' out.txt || fail "$(cat out.txt)"
grep -q 'wrote merged.profile' out.txt || fail "$(cat out.txt)"
expect 0 "$cleave" profile --diff "$golden/profile-v3.bin" merged.profile
grep -Eq '^edge compute +cpu_share 100 % +15.0 ms +15.0 ms +1.000 +no$' out.txt ||
  fail "pooled times differ: $(cat out.txt)"
expect 0 "$cleave" profile --merge "$golden/profile-v3.bin" "$golden/profile-v4.bin" -o merged.json \
  --json
python3 - <<'END'
import json
whole = json.load(open("out.txt"))["edge"]["settings"][0]["whole"]
assert whole["samples"] == 80, whole
END
# Machines that are not known to be one are asked about; what is chosen needs no such knowledge.
expect 3 "$cleave" profile --merge "$golden/profile-v2.bin" "$golden/profile-v3.bin" -o none.profile
grep -q -- '--edge-from' err.txt || fail "$(cat err.txt)"
[ ! -e none.profile ] || fail "a failed merge left a file"
expect 0 "$cleave" profile --merge "$golden/profile-v2.bin" "$golden/profile-v3.bin" \
  --edge-from "$golden/profile-v2.bin" --cloud-from "$golden/profile-v3.bin" \
  --link-from "$golden/profile-v2.bin" -o chosen.profile
expect 2 "$cleave" profile --merge "$golden/profile-v2.bin" "$golden/profile-v3.bin"
expect 2 "$cleave" profile --merge "$golden/profile-v3.bin" -o none.profile
expect 2 "$cleave" profile --merge "$golden/profile-v2.bin" "$golden/profile-v3.bin" \
  --edge-from elsewhere.profile -o none.profile
expect 2 "$cleave" profile --diff "$golden/profile-v2.bin" "$golden/profile-v3.bin" -o none.profile
# --merge reads files and measures nothing, in either spelling.
expect 3 "$cleave" profile --merge="$golden/profile-v2.bin" nowhere.profile -o none.profile

if "$cleave" optimize "$golden/profile-v2.bin" -o probe.table 2>&1 | grep -q 'no optimizer'; then
  echo "profiles: ok (without an optimizer)"
  exit 0
fi
expect 0 "$cleave" optimize "$golden/profile-v3.bin" --quiet -o foreign.table
grep -q 'warning: .*made elsewhere: machine camera-1, here ' err.txt ||
  fail "a foreign profile is taken silently: $(cat err.txt)"
expect 0 "$cleave" optimize "$golden/profile-v2.bin" --quiet -o old.table
grep -q 'does not tell where it was made' err.txt || fail "an old profile is accepted silently"
# A merged profile is optimized like any other, and its report tells what wrong watts would cost.
expect 0 "$cleave" optimize chosen.profile --quiet -o chosen.table
expect 0 "$cleave" report --table chosen.table
grep -Eq '^edge, computing +-30 % ' out.txt || fail "no sensitivity: $(cat out.txt)"
echo "profiles: ok"
