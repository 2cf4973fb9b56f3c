#!/usr/bin/env bash
# Installs what cleave needs to build, test and demonstrate itself, from Debian 12 or 13 packages.
# Nothing is touched when nothing is missing, so it needs no root then and may be run at will.
#
#   scripts/deps.sh            install what is missing
#   scripts/deps.sh --missing  only print what is missing
set -euo pipefail

packages=(
  # the build
  g++ cmake ninja-build pkg-config ccache git ca-certificates
  # every component: core, table, data, device, transport, report
  libexpected-dev libxxhash-dev libcereal-dev nlohmann-json3-dev
  zlib1g-dev libzstd-dev libpng-dev libjpeg-dev
  libboost-dev
  # optimizer (pagmo's CMake package looks for Boost.Serialization and TBB)
  libpagmo-dev libboost-serialization-dev libeigen3-dev
  # model, profiler, runtime; with the reference BLAS a transformer takes a hundred times as long
  libtorch-dev libopenblas0-openmp libdnnl-dev libonnx-dev libprotobuf-dev libssl-dev
  # the program, and the charts of its reports
  libcli11-dev libjs-chart.js
  # tests, benchmarks, and the labelled images of the demo
  libgtest-dev libgmock-dev libbenchmark-dev dataset-fashion-mnist
)
# Networks exported by PyTorch, the sweep over torchvision's: tests that say that they are skipped
# where these are not.
optional=(python3-torch python3-torchvision)
# What the link is compared with (bench/link), built where they are installed.
optional+=(libgrpc++-dev libzmq3-dev)
# The symbols that scripts/live.sh draws for detypify.
optional+=(hershey-fonts-data)
# libFuzzer (scripts/fuzz.sh).
optional+=(clang libclang-rt-dev)
# ONNX Runtime, to compare with, comes from npm (scripts/peers.sh). Where node came from elsewhere,
# Debian's npm would not fit it.
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  packages+=(nodejs npm)
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done

if [ "${1:-}" = --missing ]; then
  [ ${#missing[@]} -eq 0 ] || printf '%s\n' "${missing[@]}"
  exit 0
elif [ $# -gt 0 ]; then
  echo "deps.sh: unknown option '$1'; the only one is --missing" >&2
  exit 2
fi

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "deps.sh: this needs root and there is no sudo; run as root: $*" >&2
    exit 1
  fi
}

if [ ${#missing[@]} -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -q
fi
for package in "${optional[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] && continue
  if apt-cache show "$package" >/dev/null 2>&1; then
    missing+=("$package")
  else
    echo "deps.sh: there is no package $package here; the tests that need it will be skipped"
  fi
done

if [ ${#missing[@]} -gt 0 ]; then
  echo "deps.sh: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -q
  as_root apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

# libtorch takes its BLAS from libblas.so.3, whichever is selected. Only the slow reference
# implementation is replaced; another fast one that somebody chose stays.
blas=$(readlink -f "/usr/lib/$(gcc -dumpmachine)/libblas.so.3" || true)
case $blas in
  */blas/libblas.so.3*)
    fast="/usr/lib/$(gcc -dumpmachine)/openblas-openmp/libblas.so.3"
    echo "deps.sh: selecting OpenBLAS for libblas.so.3 (it was $blas)"
    as_root update-alternatives --set "libblas.so.3-$(gcc -dumpmachine)" "$fast"
    ;;
esac
