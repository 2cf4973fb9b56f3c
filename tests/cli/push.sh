#!/usr/bin/env bash
# Models that come to a running cloud: pushed by an edge, or put into its folder.
. "$(dirname "$0")/common.sh"

# expect CODE PATTERN COMMAND...: the pattern is in what it prints.
expect() {
  local code=$1 pattern=$2 got=0
  shift 2
  "$@" >printed.txt 2>&1 || got=$?
  [ "$got" = "$code" ] || fail "exit code $got, not $code: $* ($(cat printed.txt))"
  grep -Eq "$pattern" printed.txt || fail "'$pattern' is not in: $(cat printed.txt)"
}
# until_told PATTERN FILE: a line that the cloud will write.
until_told() {
  until grep -Eq "$1" "$2"; do
    kill -0 "${background[-1]}" 2>/dev/null || fail "the cloud ended before it told '$1'"
    read -rt 0.05 <> <(:) || true
  done
}
models_in() { find "$1" -maxdepth 1 -type f | wc -l; }

"$cleave" zoo build fashion_residual --seed 3 -o other.pt >/dev/null
"$cleave" zoo build fashion_residual --seed 4 -o third.pt >/dev/null
head -c 100000 other.pt >broken.pt
for folder in closed small open; do
  mkdir "$folder" && chmod 755 "$folder" && cp "$model" "$folder"
done

# Not without its operator's leave, and not beyond what he allowed.
start closed.port "$cleave" serve --models closed --listen 127.0.0.1:0
expect 3 'allow-push' "$cleave" push other.pt --cloud "127.0.0.1:$(cat closed.port)"
[ "$(models_in closed)" = 1 ] || fail "a model came into a closed folder"
start small.port "$cleave" serve --models small --allow-push --push-limit 1MB --listen 127.0.0.1:0
expect 1 'takes up to 1000000' "$cleave" push other.pt --cloud "127.0.0.1:$(cat small.port)"
[ "$(models_in small)" = 1 ] || fail "too large a model was taken"

# Taken, served, and known again; what is no model is not.
start open.port "$cleave" serve --models open --allow-push --listen 127.0.0.1:0 \
  >serve.txt 2>serve.err
cloud=127.0.0.1:$(cat open.port)
expect 3 'truncated' "$cleave" push broken.pt --cloud "$cloud"
[ "$(models_in open)" = 1 ] || fail "a broken model stayed in the folder"
expect 0 'other.pt is served as [0-9a-f]{16}-[0-9a-f]{16}' "$cleave" push other.pt --cloud "$cloud"
fingerprint=$(grep -Eo '[0-9a-f]{16}-[0-9a-f]{16}' printed.txt)
[ "$(models_in open)" = 2 ] || fail "the pushed model is not in the folder"
expect 0 "$fingerprint" "$cleave" push other.pt --cloud "$cloud"
[ "$(models_in open)" = 2 ] || fail "a model that is there was taken again"
# The cloud runs it: the edge profiles against it.
expect 0 'wrote other.profile' "$cleave" profile other.pt --cloud "$cloud" "${edge[@]}" --passes 3 \
  --held-out 0 -o other.profile

# The folder is looked at again when the operator says so.
cp third.pt open
kill -HUP "${background[-1]}"
until_told '^serving third' serve.txt
rm open/third.pt
kill -HUP "${background[-1]}"
until_told '^no longer serving' serve.txt
expect 0 "$fingerprint" "$cleave" push other.pt --cloud "$cloud"  # the others are still there
echo "push: ok"
