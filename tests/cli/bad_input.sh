#!/usr/bin/env bash
# Bad input gets one clear line, the documented exit code, and leaves nothing half-written.
. "$(dirname "$0")/common.sh"

# expect CODE PATTERN COMMAND...
expect() {
  local code=$1 pattern=$2 got=0
  shift 2
  "$@" >stdout.txt 2>stderr.txt || got=$?
  [ "$got" = "$code" ] || fail "exit code $got, not $code: $* ($(cat stderr.txt))"
  [ "$(wc -l <stderr.txt)" = 1 ] || fail "not one line: $* ($(cat stderr.txt))"
  grep -Eq "$pattern" stderr.txt || fail "'$pattern' is not in: $(cat stderr.txt)"
}

"$cleave" --help | grep inspect >/dev/null || fail "--help names no subcommand"
! ldd "$cleave" | grep torch >/dev/null || fail "cleave --help pays for libtorch"

# Models.
head -c 100000 "$model" >truncated.pt
echo "not a model" >text.pt
expect 3 'no such file' "$cleave" inspect nowhere.pt
expect 3 'text.pt' "$cleave" inspect text.pt
expect 3 'truncated.pt' "$cleave" inspect truncated.pt
expect 2 '' "$cleave" inspect "$model" --input 1xx3
expect 2 '' "$cleave" frobnicate

# What CLI11 would bend: a number below 0 for an unsigned option, and one beyond 64 bits.
expect 2 'seed: -5 is no whole number' "$cleave" workload weibull --seed -5 -o w.csv
expect 2 'plan: 0 is none of fused, unfused' "$cleave" inspect --model missing.pt --plan 0
expect 2 'requests: -1 is no whole number' "$cleave" workload weibull --requests -1 -o w.csv
expect 2 'seed: 9+ is no whole number' "$cleave" workload weibull --seed 99999999999999999999 -o w.csv
expect 2 'seed' "$cleave" verify "$model" --seed -1
expect 2 'hedge: .*overdue' "$cleave" run --model "$model" --table p.table --hedge sometimes
[ ! -e w.csv ] || fail "a wrong command line wrote w.csv"

# A profile and a table to spoil.
start cloud.port "$cleave" serve --model "$model" --listen 127.0.0.1:0
cloud=127.0.0.1:$(cat cloud.port)
"$cleave" profile "$model" --cloud "$cloud" --passes 2 --held-out 0 --quiet -o p.profile >/dev/null
"$cleave" optimize p.profile -o t.table --quiet >/dev/null
cp t.table corrupt.table
printf '\xff' | dd of=corrupt.table bs=1 seek=200 conv=notrunc status=none
cp t.table newer.table
printf '\x63' | dd of=newer.table bs=1 seek=8 conv=notrunc status=none
head -c 60 t.table >short.table
run=("$cleave" run --model "$model" --quiet)
expect 3 'no such file' "${run[@]}" --table nowhere.table
expect 3 'corrupt.table' "${run[@]}" --table corrupt.table
expect 3 'newer' "${run[@]}" --table newer.table
expect 3 'short.table' "${run[@]}" --table short.table
expect 3 'text.pt' "$cleave" optimize text.pt -o no.table
[ ! -e no.table ] || fail "a failed optimize left a file"
expect 1 'full' "$cleave" optimize p.profile --quiet -o /dev/full
expect 1 'full' bash -c '"$0" doctor >/dev/full' "$cleave"
# Who has read enough is no error.
{ sleep 0.5; "$cleave" doctor 2>pipe.err || echo "exit code $?" >>pipe.err; } | :
[ ! -s pipe.err ] || fail "a pipe that nobody reads: $(cat pipe.err)"

# Another model than the table's, and than the cloud's.
"$cleave" zoo build fashion_residual --seed 5 -o other.pt >/dev/null
expect 3 'other models' "$cleave" run --model other.pt --table t.table --cloud "$cloud" --quiet
"$cleave" zoo build mobilenet_v2 -o mobilenet.pt >/dev/null
expect 3 'another model' "$cleave" run --model mobilenet.pt --table t.table --quiet

# Ports and peers.
expect 4 'in use|taken' "$cleave" serve --model "$model" --listen "$cloud"
expect 4 '' "$cleave" link --to "$cloud" --listen "$cloud"
expect 4 'refused|not' "$cleave" profile "$model" --cloud 127.0.0.1:1 --quiet -o no.profile
expect 4 'refused|not' "${run[@]}" --table t.table --cloud 127.0.0.1:1
[ ! -e no.profile ] || fail "a failed profile left a file"

# No permission for a knob: as a user who may not make control groups.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  chmod 755 . && touch nobody.txt
  expect 5 'cannot be made here' setpriv --reuid=65534 --regid=65534 --clear-groups \
    "$cleave" run --model "$model" --table t.table --quiet --emulate-share 0.5 --emulate-by quota
fi
echo "bad input: ok"
