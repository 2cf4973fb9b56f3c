#!/usr/bin/env bash
# The main job on one machine: profile a trained network over an emulated link, search for the best
# configurations, and run the same requests under five policies. Installs what is missing (apt),
# builds, and prints each command before it runs it. Results stay in build/demo.
#
#   RATE=20mbit DELAY=5ms JITTER=500us SHARE=0.15 REQUESTS=300 ./scripts/demo.sh
set -euo pipefail
cd "$(dirname "$0")/.."

RATE=${RATE:-20mbit}          # of the link, each way
DELAY=${DELAY:-5ms}           # one way: a round trip is twice that
JITTER=${JITTER:-500us}
SHARE=${SHARE:-0.15}          # of one CPU: the edge board at its highest frequency
BOARD=${BOARD:-odroid_hc2}     # its watts were measured at every frequency
LEVELS=${LEVELS:-1400,1600,1800,2000}
RADIO=${RADIO:-wifi}
BOUNDARY=${BOUNDARY:-machine} # whose energy: the edge's and the cloud's whole machine
FLOOR=${FLOOR:-0.87}          # of accuracy
REQUESTS=${REQUESTS:-300}
SAMPLES=${SAMPLES:-400}       # labelled images that accuracy is counted on

./scripts/deps.sh
cmake --preset release >build-demo.log 2>&1 || { cat build-demo.log >&2; exit 1; }
rm -f build-demo.log
cmake --build --preset release --target cleave cleave_torch

PATH="$PWD/build/release/bin:$PATH"
export CLEAVE_DATA_DIR="$PWD/data"
out=build/demo
mkdir -p "$out"
images=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz
model=data/models/fashion_residual.pt
edge=(--board "$BOARD" --levels "$LEVELS" --emulate-share "$SHARE" --threads 1 --radio "$RADIO")

. scripts/servers.sh
keep_awake

began=$SECONDS
start "$out/cloud.port" cleave serve --model "$model" --listen 127.0.0.1:0 \
  --port-file "$out/cloud.port" --board server_xeon --threads 1,2
cloud=127.0.0.1:$(cat "$out/cloud.port")
start "$out/link.port" cleave link --listen 127.0.0.1:0 --port-file "$out/link.port" \
  --to "$cloud" --rate "$RATE" --delay "$DELAY" --jitter "$JITTER"
link=127.0.0.1:$(cat "$out/link.port")

run cleave profile "$model" --cloud "$link" "${edge[@]}" --data "$images" --labels "$labels" \
  --samples "$SAMPLES" --restart -o "$out/demo.profile"
run cleave optimize "$out/demo.profile" --algorithm nsga2 --seed 1 --boundary "$BOUNDARY" \
  --accuracy-floor "$FLOOR" -o "$out/demo.table"
run cleave run --model "$model" --table "$out/demo.table" --cloud "$link" "${edge[@]}" \
  --data "$images" --labels "$labels" --requests "$REQUESTS" --seed 1 --profile "$out/demo.profile" \
  --hedge overdue --policies cleave,all-cloud,all-edge,fastest,frugal --log "$out/demo.json"
run cleave report --profile "$out/demo.profile" --table "$out/demo.table" \
  --runs "$out/demo.json" --title "cleave demo: Fashion-MNIST over $RATE" -o "$out/report.html" \
  >/dev/null
echo
echo "the demo ran for $((SECONDS - began)) s; open $out/report.html in a browser"
