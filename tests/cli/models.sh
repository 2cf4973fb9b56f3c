#!/usr/bin/env bash
# A user's own model: verify against the whole and against saved outputs, inspect's table and
# picture, and files that are not trusted.
. "$(dirname "$0")/common.sh"

# expect CODE PATTERN COMMAND...: the pattern is in what it prints, on one line if it is an error.
expect() {
  local code=$1 pattern=$2 got=0
  shift 2
  "$@" >stdout.txt 2>stderr.txt || got=$?
  [ "$got" = "$code" ] || fail "exit code $got, not $code: $* ($(cat stderr.txt))"
  [ "$(wc -l <stderr.txt)" -le 1 ] || fail "more than one line: $* ($(cat stderr.txt))"
  cat stdout.txt stderr.txt | grep -Eq "$pattern" || fail "'$pattern' is not in: $(cat stderr.txt)"
}

# trusted: how many files are on the list.
trusted() { grep -c checked "$XDG_STATE_HOME/cleave/trusted_models" || true; }

# Not trusted at first, then opened by a child, then known.
expect 5 'not on the trusted list' "$cleave" inspect "$model" --untrusted refuse
expect 0 'fp16' "$cleave" inspect "$model"
[ "$(trusted)" = 1 ] || fail "the file is not on the list"
expect 0 'fp16' "$cleave" inspect "$model" --untrusted refuse
"$cleave" zoo build fashion_residual --seed 3 -o other.pt >/dev/null
expect 5 'not on the trusted list' "$cleave" verify other.pt --untrusted refuse
expect 0 'bit-equal' "$cleave" verify other.pt --cuts 2 --trust
expect 0 'bit-equal' "$cleave" verify other.pt --cuts 2 --untrusted refuse

# The table and the picture.
expect 0 'wrote page.html' "$cleave" inspect "$model" --report page.html
grep -q '<svg' page.html || fail "the page has no picture"
grep -q 'time before' stdout.txt || fail "the table lacks the share of time"
"$cleave" inspect "$model" --json >inspect.json
grep -q '"share_before"' inspect.json || fail "the JSON lacks the share of time"

# Cuts against the whole.
expect 0 'bit-equal at 10 of 10 cuts' "$cleave" verify "$model" --cuts 10
"$cleave" verify "$model" --cuts 3 --json >verify.json
grep -q '"passed": true' verify.json || fail "verify --json does not say that it passed"

# Against saved outputs, by files of a known form.
# npy FILE DTYPE SHAPE COUNT ELEMENT: so many equal elements, each as printf writes it.
npy() {
  local header="{'descr': '$2', 'fortran_order': False, 'shape': ($3,), }"
  printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header" >"$1"
  for ((i = 0; i < $4; ++i)); do printf "$5"; done >>"$1"
}
one='\x00\x00\x80\x3f'
npy in.npy '<f4' '1, 1, 112, 112' 12544 "$one"
npy small.npy '<f4' '1, 1, 28, 28' 784 "$one"
npy doubles.npy '<f8' '1, 1, 112, 112' 12544 '\x00\x00\x00\x00\x00\x00\xf0\x3f'
npy ten.npy '<f4' '1, 10' 10 "$one"
npy nine.npy '<f4' '1, 9' 9 "$one"
expect 6 'larger than the tolerance' "$cleave" verify "$model" --cuts 2 --data in.npy --expect ten.npy
grep -q FAILED stdout.txt || fail "the output that differs is not marked"
expect 0 'output 0 against' "$cleave" verify "$model" --cuts 2 --data in.npy --expect ten.npy --tolerance 1e9
expect 3 '1x1x112x112' "$cleave" verify "$model" --data small.npy
expect 3 'float64' "$cleave" verify "$model" --data doubles.npy
expect 2 'takes 1 inputs; 2 files' "$cleave" verify "$model" --data in.npy in.npy
expect 3 '1x9' "$cleave" verify "$model" --data in.npy --expect nine.npy
expect 3 'gives 1 tensors; 2' "$cleave" verify "$model" --data in.npy --expect ten.npy ten.npy
expect 2 'with --data' "$cleave" verify "$model" --expect ten.npy
expect 3 'no such file' "$cleave" verify "$model" --data nowhere.npy

# Hostile files, through the program.
expect 1 'cuda' "$cleave" inspect "$model" --device cuda:99
expect 2 'kind of device' "$cleave" inspect "$model" --device abacus
mkdir models open && cp "$model" models && chmod 755 models && chmod 777 open
expect 5 'others than its owner' "$cleave" serve --models open
expect 2 'no model to serve' "$cleave" serve
start models.port "$cleave" serve --models models --listen 127.0.0.1:0
echo "models: ok"
