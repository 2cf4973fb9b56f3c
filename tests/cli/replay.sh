#!/usr/bin/env bash
# Observations are searched and replayed, requests wait for one another, and a budget is kept: no
# libtorch needed.
cleave=$1
work=$2
. "$(dirname "$0")/expect.sh"

# Eight settings: twice as fast costs three times the energy; three runs of each, a little apart.
{
  echo knob.speed,latency_ms,energy_j
  latency=1280 energy=1
  for speed in 1 2 3 4 5 6 7 8; do
    for run in 0 1 2; do echo "$speed,$((latency + run)),$energy"; done
    latency=$((latency / 2)) energy=$((energy * 3))
  done
} >obs.csv
if ! "$cleave" optimize --observations obs.csv --budget 100% --seed 1 -o t.table >optimize.txt \
  2>optimize.err; then
  grep -q 'no optimizer' optimize.err || fail "$(cat optimize.err)"
  echo "replay: ok (without an optimizer)"
  exit 0
fi
grep -q '^hypervolume: 1.0000 of exhaustive' optimize.txt || fail "$(cat optimize.txt)"
"$cleave" workload bursts --requests 200 --rate 2 --burst 4 --shortest 100ms --longest 2s -o req.csv \
  >/dev/null

# figure FILE POLICY NAME
figure() {
  python3 -c 'import json, sys
policies = {p["name"]: p for p in json.load(open(sys.argv[1]))["policies"]}
print(policies[sys.argv[2]][sys.argv[3]])' "$@"
}
less() { python3 -c 'import sys; sys.exit(not float(sys.argv[1]) < float(sys.argv[2]))' "$1" "$2"; }

replay=("$cleave" replay --observations obs.csv --table t.table --requests req.csv
  --boundary edge --origin measured)
"${replay[@]}" --json free.json >free.txt
"${replay[@]}" --queue --json queue.json >queue.txt
"${replay[@]}" --energy-budget 20W --json budget.json >budget.txt

[ "$(figure free.json cleave requests)" = 200 ] || fail "requests are lost: $(cat free.txt)"
# Four requests at a time: whoever ignores that the others run is late, and who knows it hurries.
less "$(figure free.json frugal missed)" "$(figure queue.json frugal missed)" ||
  fail "waiting costs nothing: $(cat queue.txt)"
less "$(figure queue.json cleave missed)" "$(figure queue.json frugal missed)" ||
  fail "cleave does not see the queue: $(cat queue.txt)"
# Two requests a second at 20 W are 10 J each on average, and a bucket more at first.
less "$(figure budget.json cleave mean_energy_j)" "$(figure free.json cleave mean_energy_j)" ||
  fail "the budget changes nothing: $(cat budget.txt)"
expect 2 "${replay[@]}" --energy-budget 0.001J/h --policy cleave
grep -q 'never saves up what one request takes' err.txt || fail "$(cat err.txt)"
expect 2 "${replay[@]}" --policy nosuch
grep -q 'oracle and fixed:' err.txt || fail "no hint: $(cat err.txt)"
expect 2 "$cleave" workload bursts --burst 1000000000000 --rate 1e-9 --requests 3 -o far.csv
[ ! -e far.csv ] || fail "requests that replay would refuse are written"
expect 2 "${replay[@]}" --confidence nan
if "${replay[@]}" --energy-budget 20 >bad.txt 2>&1; then fail "a budget without a unit is taken"; fi
echo "replay: ok"
