#!/usr/bin/env bash
# The five policies live: two networks (Fashion-MNIST's residual network and detypify's classifier of
# drawn symbols) on an emulated board, over the relay with three link traces. Writes a table (CSV and
# Markdown) and plots (SVG) to build/live: energy against misses, latencies, decisions over time.
# Installs what is missing (apt, npm) and builds, unless CLEAVE names a program to use as it is.
#
#   REQUESTS=1000 TRACES="wifi 4g 3g" MODELS="fashion detypify" ./scripts/live.sh
#   CLEAVE=/usr/bin/cleave DETYPIFY=model.onnx REQUESTS=50 ./scripts/live.sh
set -euo pipefail
cd "$(dirname "$0")/.."

REQUESTS=${REQUESTS:-1000}      # of each policy on each trace
TRACES=${TRACES:-wifi 4g 3g}    # names or files of cleave link --trace
MODELS=${MODELS:-fashion detypify}
POLICIES=${POLICIES:-cleave,all-cloud,all-edge,fastest,frugal}
RATE=${RATE:-20mbit}            # of the link that is profiled, each way
DELAY=${DELAY:-5ms}             # one way
CLOUD_THREADS=${CLOUD_THREADS:-1} # edge, relay and cloud share this machine
SHARE=${SHARE:-0.05}            # of one CPU: the edge board at its highest frequency
DEADLINES=${DEADLINES:-40ms:300ms} # of both networks, Weibull-distributed
BOARD=${BOARD:-odroid_hc2}
LEVELS=${LEVELS:-1400,1600,1800,2000}
RADIO=${RADIO:-wifi}
BOUNDARY=${BOUNDARY:-machine}   # whose energy
SAMPLES=${SAMPLES:-400}         # inputs that accuracy is counted on
HEDGE=${HEDGE:-overdue}         # when the edge begins beside a slow cloud: or last-moment
OPTIMIZE=${OPTIMIZE:-}          # further options of cleave optimize, as a list of words
SEED=${SEED:-1}
OUT=${OUT:-build/live}
DETYPIFY=${DETYPIFY:-}          # its model.onnx; empty: fetched with npm
FONTS=${FONTS:-/usr/share/hershey-fonts} # of Debian's hershey-fonts-data: its inputs

mkdir -p "$OUT"
if [ -z "${CLEAVE:-}" ]; then
  ./scripts/deps.sh
  cmake --preset release >"$OUT/build.log" 2>&1 || { cat "$OUT/build.log" >&2; exit 1; }
  cmake --build --preset release --target cleave cleave_torch
  CLEAVE=$PWD/build/release/bin/cleave
fi
export CLEAVE_DATA_DIR="$PWD/data"
edge=(--board "$BOARD" --levels "$LEVELS" --emulate-share "$SHARE" --threads 1 --radio "$RADIO")

. scripts/servers.sh

# A model's file, its inputs, and further options.
describe() {
  case $1 in
    fashion)
      model=data/models/fashion_residual.pt
      inputs=(--data /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
              --labels /usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz)
      floor=0.87
      ;;
    detypify)
      if [ -z "$DETYPIFY" ]; then
        npm install --silent --no-save --ignore-scripts --prefix "$OUT" detypify-service@0.3.0
        DETYPIFY=$OUT/node_modules/detypify-service/train/model.onnx
      fi
      if [ ! -s "$OUT/strokes.npy" ]; then
        [ -s "$FONTS/greek.jhf" ] || {
          echo "live.sh: there are no fonts in $FONTS (apt-get install hershey-fonts-data)" >&2
          exit 1
        }
        python3 scripts/hershey_symbols.py "$FONTS" "$OUT/strokes.npy"
      fi
      model=$DETYPIFY
      inputs=(--data "$OUT/strokes.npy")
      floor=0.97 # of agreement with the whole network: the symbols have no labels
      ;;
    *)
      echo "live.sh: there is no model $1, only fashion and detypify" >&2
      exit 2
      ;;
  esac
}

keep_awake
awake=${#background[@]}

began=$SECONDS
for name in $MODELS; do
  describe "$name"
  start "$OUT/cloud.port" "$CLEAVE" serve --model "$model" --listen 127.0.0.1:0 \
    --port-file "$OUT/cloud.port" --board server_xeon --threads "$CLOUD_THREADS"
  cloud=127.0.0.1:$(cat "$OUT/cloud.port")
  served=${#background[@]}
  # A table is used again where nothing that it was made with has changed.
  made_with="$CLOUD_THREADS $RATE $DELAY ${edge[*]} ${inputs[*]} $SAMPLES $SEED $BOUNDARY $floor $OPTIMIZE"
  if [ ! -s "$OUT/$name.table" ] || [ "$made_with" != "$(cat "$OUT/$name.made_with" 2>/dev/null)" ]; then
    rm -f "$OUT/$name.table"
    start "$OUT/link.port" "$CLEAVE" link --listen 127.0.0.1:0 --port-file "$OUT/link.port" \
      --to "$cloud" --rate "$RATE" --delay "$DELAY"
    run "$CLEAVE" profile "$model" --cloud "127.0.0.1:$(cat "$OUT/link.port")" "${edge[@]}" \
      "${inputs[@]}" --samples "$SAMPLES" --restart -o "$OUT/$name.profile"
    # shellcheck disable=SC2086 # a list of words
    run "$CLEAVE" optimize "$OUT/$name.profile" --seed "$SEED" --boundary "$BOUNDARY" \
      --accuracy-floor "$floor" $OPTIMIZE -o "$OUT/$name.table"
    echo "$made_with" >"$OUT/$name.made_with"
    stop_after "$served"
  fi
  for trace in $TRACES; do
    start "$OUT/link.port" "$CLEAVE" link --listen 127.0.0.1:0 --port-file "$OUT/link.port" \
      --to "$cloud" --trace "$trace" --repeat --seed "$SEED"
    run "$CLEAVE" run --model "$model" --table "$OUT/$name.table" \
      --cloud "127.0.0.1:$(cat "$OUT/link.port")" "${edge[@]}" "${inputs[@]}" \
      --requests "$REQUESTS" --seed "$SEED" --deadlines "$DEADLINES" \
      --hedge "$HEDGE" --policies "$POLICIES" --log "$OUT/run.$name.$(basename "$trace" .csv).json"
    stop_after "$served"
  done
  stop_after "$awake"
done
run python3 scripts/live_plots.py "$OUT"
echo
echo "the runs took $((SECONDS - began)) s; see $OUT/table.md and $OUT/*.svg"
