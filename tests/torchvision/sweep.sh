#!/usr/bin/env bash
# Runs the sweep where Debian's python3-torchvision is installed; else says that it is skipped.
#
#   sweep.sh CHECKER [NETWORK...]
set -euo pipefail
if ! why=$(/usr/bin/python3 -c 'import torch, torchvision' 2>&1); then
  echo "skipped: /usr/bin/python3 cannot import torch and torchvision (packages python3-torch," \
       "python3-torchvision): ${why##*$'\n'}"
  exit 77
fi
exec /usr/bin/python3 -W ignore "$(dirname "$0")/export.py" --check "$@"
