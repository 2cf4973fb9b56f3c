#!/usr/bin/env bash
# The demo's steps in small, through the installed program; each result is looked at.
. "$(dirname "$0")/common.sh"

"$cleave" inspect "$model" --json | grep '"cuts"' >/dev/null || fail "inspect shows no cuts"
start cloud.port "$cleave" serve --model "$model" --listen 127.0.0.1:0 --threads 1,2
cloud_pid=${background[-1]}
start link.port "$cleave" link --listen 127.0.0.1:0 --to "127.0.0.1:$(cat cloud.port)" \
  --rate 50mbit --delay 2ms
cloud=127.0.0.1:$(cat link.port)

"$cleave" profile "$model" --cloud "$cloud" "${edge[@]}" --radio wifi --data "$images" \
  --labels "$labels" --samples 20 --passes 3 --held-out 5 -o p.profile >profile.txt
grep -q 'prediction error over 5 held-out' profile.txt || fail "no prediction error is told"
"$cleave" optimize p.profile --seed 1 -o a.table >/dev/null 2>&1
"$cleave" optimize p.profile --seed 1 -o b.table >/dev/null 2>&1
cmp a.table b.table || fail "equal seeds gave different tables"
"$cleave" optimize p.profile --algorithm exhaustive -o e.table >/dev/null 2>&1

"$cleave" run --model "$model" --table a.table --cloud "$cloud" "${edge[@]}" --data "$images" \
  --labels "$labels" --requests 10 --policies cleave,all-cloud,all-edge,fastest,frugal \
  --log run.json >run.txt
for policy in cleave all-cloud all-edge fastest frugal; do
  grep -q "$policy" run.txt || fail "the table lacks $policy"
done
grep -q modelled run.txt || fail "the energy's origin is not told"
"$cleave" report --profile p.profile --table a.table --runs run.json -o report.html >/dev/null
grep -q '<html' report.html || fail "the report is no page"
! grep -Eq '(src|href)="https?:' report.html || fail "the report loads something from outside"

# Two profiles of one machine are compared; a table of this machine is taken without a word.
"$cleave" profile --diff p.profile p.profile >diff.txt
grep -Eq 'edge compute +cpu_share 1000 MHz.* 1\.000 +no' diff.txt || fail "no comparison: $(cat diff.txt)"
"$cleave" run --model "$model" --table a.table --cloud "$cloud" "${edge[@]}" --quiet 2>one.err >/dev/null
! grep elsewhere one.err || fail "this machine's table is taken for another's"

# A profile that is interrupted leaves what it measured, is not begun anew by mistake, and is gone on
# with.
set +e
"$cleave" profile "$model" --cloud "$cloud" "${edge[@]}" --passes 40 --held-out 2 -o cut.profile \
  >cut.txt 2>cut_err.txt &
profiling=$!
until [ -s cut.profile.partial ] || ! kill -0 "$profiling" 2>/dev/null; do
  read -rt 0.02 <> <(:) || true
done
kill -INT "$profiling"
wait "$profiling"
code=$?
set -e
[ "$code" = 130 ] || fail "an interrupted profile ended with $code: $(cat cut_err.txt)"
grep -q 'cut.profile.partial: what was measured so far' cut_err.txt || fail "it does not say where"
[ ! -e cut.profile ] || fail "an interrupted profile was written"
if "$cleave" profile "$model" --cloud "$cloud" "${edge[@]}" --passes 40 --held-out 2 --quiet \
  -o cut.profile 2>cut_err.txt; then
  fail "what was measured is thrown away silently"
fi
grep -q -- '--resume' cut_err.txt || fail "it does not say how to go on"
if "$cleave" profile "$model" --cloud "$cloud" "${edge[@]}" --passes 41 --held-out 2 --quiet \
  --resume -o cut.profile 2>cut_err.txt; then
  fail "it went on with other options"
fi
"$cleave" profile "$model" --cloud "$cloud" "${edge[@]}" --passes 40 --held-out 2 --quiet --resume \
  -o cut.profile >cut.txt
grep -q 'the edge, while it was measured: other programs used' cut.txt || fail "no conditions"
[ -s cut.profile ] && [ ! -e cut.profile.partial ] || fail "the rest stays behind"

# Levels in between are predicted, and the profile is held against real requests.
between=(--board raspberry_pi_4 --threads 1 --emulate-share 0.5)
"$cleave" profile "$model" --cloud "$cloud" "${between[@]}" --passes 2 --held-out 4 \
  --measure-levels 3 --quiet -o between.profile >between.txt
grep -q 'levels left out and predicted: error of 1 settings' between.txt || fail "no error of levels left out"
"$cleave" profile "$model" --cloud "$cloud" "${between[@]}" --validate 4 --profile between.profile \
  --quiet >validate.txt
grep -Eq '^predicted settings, error over 2 configurations: median' validate.txt ||
  fail "no line of predicted settings: $(cat validate.txt)"
grep -q '^reference runs beside them drifted by' validate.txt || fail "no reference runs"

# Several requests in flight: each has its outcome, and the rate is told.
"$cleave" run --model "$model" --table a.table --cloud "$cloud" "${edge[@]}" --data "$images" \
  --labels "$labels" --requests 12 --policies all-cloud,all-edge --in-flight 4 --pause 0ms \
  --log flight.json >flight.txt
grep -Eq '4 in flight, requests a second: all-cloud [0-9.]+, all-edge [0-9.]+' flight.txt ||
  fail "no rate is told of requests in flight"
"$cleave" report --runs flight.json --json >/dev/null || fail "the log of requests in flight is none"

# One request on a file, its output kept.
"$cleave" run --model "$model" --table a.table "${edge[@]}" --data "$images" --deadline 10s \
  --explain --learnt learnt.bin -o out.npy >one.txt
grep -q '^cleave, request 1: .*; expected .* at most ' one.txt || fail "--explain explains nothing"
[ -s learnt.bin ] || fail "what was learnt is not kept"
"$cleave" run --model "$model" --table a.table "${edge[@]}" --data "$images" --deadline 10s \
  --learnt learnt.bin >/dev/null || fail "what was learnt is not taken up"
head -c 6 out.npy | grep NUMPY >/dev/null || fail "the output is no .npy file"

# The cloud dies while requests run: all complete, on the edge if need be.
"$cleave" run --model "$model" --table a.table --cloud "$cloud" "${edge[@]}" --data "$images" \
  --labels "$labels" --requests 200 --policies all-cloud --log killed.json >killed.txt \
  2>killed.err &
run_pid=$!
until grep -q requests killed.err; do  # the first one is answered
  kill -0 "$run_pid" || fail "the run ended before its first request: $(cat killed.err)"
  read -rt 0.05 <> <(:) || true
done
kill -9 "$cloud_pid"
wait "$run_pid" || fail "the run failed when its cloud was killed: $(cat killed.err)"
"$cleave" report --runs killed.json --json >killed.report
grep -q 'all-cloud' killed.txt || fail "no summary after the cloud was killed"

# Ctrl-C leaves nothing half-written and no setting changed.
"$cleave" run --model "$model" --table a.table "${edge[@]}" "${quota[@]}" --data "$images" \
  --requests 100000 --policies all-edge --log interrupted.json &
run_pid=$!
until grep -qs cleave "/proc/$run_pid/cgroup" || [ ${#quota[@]} -eq 0 ]; do
  kill -0 "$run_pid" 2>/dev/null || fail "the run ended by itself"
  read -rt 0.05 <> <(:) || true
done
kill -INT "$run_pid"
code=0
wait "$run_pid" || code=$?
[ "$code" = 130 ] || fail "an interrupted run exits with $code"
[ ! -e interrupted.json ] || fail "an interrupted run left a log"
! ls -d /sys/fs/cgroup/cpu/cleave-"$run_pid"-* 2>/dev/null || fail "a control group is left"
echo "end to end: ok"
