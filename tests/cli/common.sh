# Shared by the scripts that drive the installed program. Sourced with: PREFIX SOURCE WORK.
prefix=$1
source_dir=$2
work=$3
. "$(dirname "$0")/expect.sh"
export XDG_STATE_HOME=$work/state  # the trusted list of these tests
cleave=$prefix/bin/cleave
images=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz
model=$source_dir/data/models/fashion_residual.pt

background=()
trap 'kill -9 "${background[@]}" 2>/dev/null || true' EXIT

# start PORT_FILE COMMAND...: in the background, until it has written its port.
start() {
  local port_file=$1
  shift
  rm -f "$port_file"
  "$@" --port-file "$port_file" &
  background+=($!)
  until [ -s "$port_file" ]; do
    kill -0 "${background[-1]}" 2>/dev/null || fail "it ended at once: $*"
    read -rt 0.05 <> <(:) || true
  done
}

edge=(--board raspberry_pi_4 --threads 1 --levels 1000,1500 --emulate-share 0.5)
# Is there a control group whose CPU quota can be set here?
quota=()
if "$cleave" doctor | grep '^ok *cgroup' >/dev/null; then
  quota=(--emulate-by quota)
fi
