#!/usr/bin/env bash
# A known machine is found again, a knob that a command sets is put back, a signal leaves nothing.
# CLEAVE WORK
cleave=$1
work=$2
. "$(dirname "$0")/expect.sh"
export XDG_RUNTIME_DIR=$work

# A meter of the program's own: 100 W always, and 1000 W for each CPU that it uses.
cat >meter.sh <<'END'
ticks=$(awk '{ print $14 + $15 }' "/proc/$1/stat")
awk -v ticks="$ticks" -v hertz="$(getconf CLK_TCK)" \
  '{ print 100 * $1 + 1000 * ticks / hertz }' /proc/uptime
END
# In single quotes: the shell that cleave starts knows its parent.
meter='command:joules:sh meter.sh $PPID'
knob="mode_$$"

echo low >mode.txt
"$cleave" calibrate --meter "$meter" -o found.json --title "A known machine" --all 2 --quiet \
  --knob "command:$knob:low,high:echo {level} > mode.txt => cat mode.txt" \
  --time 500ms --settle 20ms --rounds 2 >out.txt
[ "$(cat mode.txt)" = low ] || fail "the knob was not put back: $(cat mode.txt)"
grep -q 'wrote found.json' out.txt || fail "$(cat out.txt)"
python3 - <<'END'
import json
board = json.load(open("found.json"))
assert board["name"] == "found" and board["origin"] == "measured", board
assert sorted(l["mode"] for l in board["levels"]) == ["high", "low"], board
for level in board["levels"]:
    for field, true, off in (("idle", 100, 40), ("busy_one_core", 1100, 150), ("busy", 2100, 250)):
        found = level[field + "_watts"]
        assert found["error"] > 0, level
        assert abs(found["value"] - true) < off, (field, found)
END

# A signal: nothing is written, and the knob is put back.
"$cleave" calibrate --meter "$meter" -o none.json --all 2 --quiet \
  --knob "command:$knob:high,low:echo {level} > mode.txt => cat mode.txt" --time 600s &
pid=$!
until [ "$(cat mode.txt)" = high ]; do
  kill -0 "$pid" 2>/dev/null || fail "it ended at once"
  read -rt 0.05 <> <(:) || true
done
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
[ "$code" = 130 ] || fail "exit code $code"
[ "$(cat mode.txt)" = low ] || fail "the knob was not put back: $(cat mode.txt)"
[ ! -e none.json ] || fail "an interrupted calibration left a file"

# What is wrong is told in a line.
expect() {
  local code=$1 pattern=$2 got=0
  shift 2
  "$cleave" calibrate "$@" >stdout.txt 2>stderr.txt || got=$?
  [ "$got" = "$code" ] || fail "exit code $got, not $code: $* ($(cat stderr.txt))"
  [ "$(wc -l <stderr.txt)" = 1 ] || fail "not one line: $* ($(cat stderr.txt))"
  grep -Eq "$pattern" stderr.txt || fail "'$pattern' is not in: $(cat stderr.txt)"
}
expect 2 'required' -o x.json
expect 2 'no such kind of meter' --meter sundial -o x.json
expect 2 'no such kind of knob' --meter "$meter" --knob sail -o x.json
expect 2 'not a name' --meter "$meter" -o 'two words.json'
expect 2 'cores 1 to 2' --meter "$meter" --all 2 --cores 1,3 -o x.json
[ ! -e x.json ] || fail "a failed calibration left a file"
echo "calibrate: ok"
