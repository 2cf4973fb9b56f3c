#!/usr/bin/env bash
# cleave optimize: constraints, ranges of links, several networks, and Ctrl-C. No libtorch needed.
cleave=$1
make_profile=$2
work=$3
. "$(dirname "$0")/expect.sh"

"$make_profile" a.profile 1
"$make_profile" b.profile 2 16

# An option that would do nothing is refused.
# All of a small space, unless a search of a part is asked for.
expect 0 "$cleave" optimize a.profile --quiet -o auto.table
grep -Eq '^exhaustive, seed 1: ([0-9]+) of \1 ' out.txt || fail "not all was looked at: $(cat out.txt)"
for part in "--budget 20%" "--population 8" "--algorithm nsga2"; do
  # shellcheck disable=SC2086 # two words
  expect 0 "$cleave" optimize a.profile $part --quiet -o part.table
  grep -q '^nsga2, seed 1: ' out.txt || fail "not a search: $(cat out.txt)"
done
expect 2 "$cleave" optimize a.profile --rate 5 -o no.table
grep -q -- '--rate: it is for several networks' err.txt || fail "$(cat err.txt)"
expect 2 "$cleave" optimize a.profile --origin measured -o no.table
expect 2 "$cleave" optimize a.profile --margin nan -o no.table
expect 2 "$cleave" optimize a.profile --bandwidth .. -o no.table
grep -q -- '--bandwidth' err.txt || fail "$(cat err.txt)"
# Names that are no UTF-8.
cp a.profile $'\xff.profile'
expect 0 "$cleave" optimize $'\xff.profile' b.profile --quiet -o odd
python3 -c 'import json; json.load(open("odd/joint.json"))' || fail "joint.json is no JSON"

# What the constraints leave is all that is counted and kept.
expect 0 "$cleave" optimize a.profile --algorithm exhaustive --quiet -o all.table
grep -q ': 584 of 584 configurations evaluated' out.txt || fail "another space: $(cat out.txt)"
grep -q 'all in the cloud' out.txt || fail "no all-cloud row"
expect 0 "$cleave" optimize a.profile --algorithm exhaustive --no-raw-input --max-transfer 50kB \
  --max-edge-memory 30MB --max-cloud-memory 1GB --min-edge-steps 1 --max-edge-steps 12 --quiet \
  -o kept.table
! grep -q 'all in the cloud' out.txt || fail "raw input leaves the edge"
! grep -q ': 584 of' out.txt || fail "the constraints leave everything"
expect 0 "$cleave" optimize a.profile --algorithm exhaustive --allow-cut layer3 --deny-cut all-edge \
  --quiet -o one.table
grep -q ': 48 of 48 configurations evaluated' out.txt || fail "more than one cut: $(cat out.txt)"
expect 2 "$cleave" optimize a.profile --max-edge-memory 1kB --quiet -o no.table
grep -q 'edge memory: no configuration takes at most 1 kB (the least is ' err.txt ||
  fail "it does not tell which constraint leaves nothing: $(cat err.txt)"
[ ! -e no.table ] || fail "a table of nothing"
expect 2 "$cleave" optimize a.profile --max-transfer many --quiet -o no.table

# A range of links keeps rows that the measured link alone does not.
expect 0 "$cleave" optimize a.profile --algorithm exhaustive --margin 0.01 --bandwidth 1mbit..100mbit \
  --rtt 5ms..100ms --quiet -o range.table
grep -q 'for other links too' out.txt || fail "no line about other links"
expect 2 "$cleave" optimize a.profile --bandwidth 10mbit..1mbit --quiet -o no.table

# Several networks on one device.
expect 0 "$cleave" optimize a.profile b.profile --rate 2 --rate 1 --deadline 150ms --quiet -o robot
grep -q 'the exact front; ' out.txt || fail "no joint front: $(cat out.txt)"
for file in joint.json a.table b.table; do
  [ -s "robot/$file" ] || fail "no robot/$file"
done
grep -q '"tightness"' robot/joint.json || fail "no joint choices"
expect 2 "$cleave" optimize a.profile b.profile --deadline 1ms --quiet -o robot
grep -q 'meets 1 ms; the fastest takes' err.txt || fail "no reason: $(cat err.txt)"

# Ctrl-C keeps the best so far, and says so: exit code 130.
# interrupt NAME COMMAND...: after the second line of progress.
interrupt() {
  local name=$1 code=0
  shift
  rm -f "$name.table"
  "$@" -o "$name.table" >"$name.txt" 2>"$name.err" &
  local pid=$!
  until [ "$(grep -c evaluations "$name.err")" -ge 2 ]; do
    kill -0 "$pid" 2>/dev/null || fail "$name ended by itself: $(cat "$name.err")"
    read -rt 0.02 <> <(:) || true
  done
  kill -INT "$pid"
  wait "$pid" || code=$?
  [ "$code" = 130 ] || fail "an interrupted $name exits with $code: $(tail -1 "$name.err")"
  grep -q 'interrupted; the table holds the best so far' "$name.err" || fail "$name does not say so"
  [ -s "$name.table" ] || fail "$name left no table"
  grep -Eq 'evaluations, hypervolume [0-9.]+$' "$name.err" || fail "no hypervolume of $name"
  local done all
  read -r done all < <(sed -nE 's/.*: ([0-9]+) of ([0-9]+) configurations evaluated.*/\1 \2/p' "$name.txt")
  [ "$done" -lt "$all" ] || fail "$name was not interrupted: $done of $all"
  "$cleave" report --table "$name.table" --json >/dev/null || fail "the table of $name is none"
}

"$make_profile" large.profile 3 60 56  # some 31 million configurations
interrupt exhaustive "$cleave" optimize large.profile --algorithm exhaustive
interrupt genetic "$cleave" optimize large.profile --budget 100000000
awk 'BEGIN {
  print "knob.a,knob.b,knob.c,latency_ms,energy_j"
  for (a = 0; a < 20; ++a) for (b = 0; b < 20; ++b) for (c = 0; c < 10; ++c)
    print a "," b "," c "," 10 + a * 3 + (b - a) ^ 2 / 9 + c "," 5 + (20 - a) / 2 + b / 5 + (c - 4) ^ 2 / 7
}' >obs.csv
interrupt observed "$cleave" optimize --observations obs.csv --budget 2000
grep -q '^hypervolume: 0' observed.txt || fail "no share of the hypervolume after Ctrl-C"
echo "optimize: ok"
