# Commands that are shown before they run, and servers in the background that end with the script.
# Sourced by the scripts that run cleave's processes on one machine.

say() { printf '\n$ %s\n' "$*"; }
run() {
  say "$@"
  "$@"
}

background=()
# Ends what was started in the background after the first `$1`.
stop_after() {
  local count=${#background[@]}
  while ((count > $1)); do
    count=$((count - 1))
    kill "${background[count]}" 2>/dev/null || true
    wait "${background[count]}" 2>/dev/null || true
    unset "background[count]"
  done
}
trap 'stop_after 0' EXIT

# start PORT_FILE COMMAND...: a server in the background; waits until it has written its port.
start() {
  local port_file=$1
  shift
  rm -f "$port_file"
  say "$@" '&'
  "$@" &
  background+=($!)
  until [ -s "$port_file" ]; do
    kill -0 "${background[-1]}" 2>/dev/null || { echo "${0##*/}: it ended at once" >&2; exit 1; }
    read -rt 0.1 <> <(:) || true
  done
}

# A virtual machine's processors are put to sleep between requests and wake cold: the same pass then
# takes up to twice as long, by chance. Loops of the idle class keep them awake and give way to
# everything else; by their niceness the profiler knows that they are no competition.
keep_awake() {
  local i
  for ((i = 0; i < $(nproc); i++)); do
    nice -n 19 chrt --idle 0 sh -c 'while :; do :; done' &
    background+=($!)
  done
}
