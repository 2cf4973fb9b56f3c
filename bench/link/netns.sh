#!/usr/bin/env bash
# The link's benchmark across a pair of network namespaces whose veth pair is shaped by tc's token
# bucket, as root on Linux. Leaves nothing behind.
#
#   bench/link/netns.sh [PROGRAM [OPTION VALUE]...]
#
# PROGRAM is cleave_bench_link (build/release/bench/link/cleave_bench_link); the options are given to
# it as well. RATES (Mbit/s, "200 20") may be set in the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."

program=${1:-build/release/bench/link/cleave_bench_link}
[ $# -gt 0 ] && shift
rates=${RATES-200 20}
edge=cleave-edge-$$ cloud=cleave-cloud-$$

not_available() {
  echo "netns.sh: not available: $1"
  exit 0
}

[ -x "$program" ] || {
  echo "netns.sh: there is no $program; build it: cmake --build build/release --target cleave_bench_link" >&2
  exit 1
}
[ "$(id -u)" -eq 0 ] || not_available "network namespaces need root"
for command in ip tc; do
  command -v "$command" >/dev/null || not_available "there is no '$command' (Debian: iproute2)"
done

cleanup() {
  ip netns delete "$edge" 2>/dev/null || true
  ip netns delete "$cloud" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

why=$(ip netns add "$edge" 2>&1) || not_available "ip netns add: $why"
why=$(ip netns add "$cloud" 2>&1) || not_available "ip netns add: $why"
why=$(ip link add veth0 netns "$edge" type veth peer name veth0 netns "$cloud" 2>&1) ||
  not_available "ip link add type veth: $why"
address=10.77.0
ip -n "$edge" address add $address.1/24 dev veth0
ip -n "$cloud" address add $address.2/24 dev veth0
for namespace in "$edge" "$cloud"; do
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set veth0 up
done

# Both directions at the rate given in Mbit/s. A burst is what may pass at once: short of it the
# shaper would not reach its rate, and with more the first bytes of a measurement would be free.
shape() {
  for namespace in "$edge" "$cloud"; do
    tc -n "$namespace" qdisc replace dev veth0 root tbf rate "$1mbit" burst 32kb latency 100ms || return
  done
}
why=$(shape 200 2>&1) || not_available "tc tbf: $why"

across=(--address "$address.2" --server-prefix "ip netns exec $cloud"
        --client-prefix "ip netns exec $edge" --in-flight 8 --calls 256K)
for rate in $rates; do
  echo "== tbf $rate Mbit/s, both directions"
  shape "$rate"
  # Long enough that a burst is less than a percent of a measurement.
  "$program" "${across[@]}" --rate "${rate}e6" --what goodput --sizes 256K,1M --seconds 1 "$@"
done
