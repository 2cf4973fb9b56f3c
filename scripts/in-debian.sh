#!/usr/bin/env bash
# Runs a command in a fresh-as-installed Debian 12 or 13, on a copy of this source tree.
#
#   scripts/in-debian.sh 13 ./scripts/test.sh
#   scripts/in-debian.sh 12 bash                  a shell there
#
# The Debian tree is made once, by debootstrap, under ~/.cache/cleave/debian-RELEASE; packages that
# a command installs there stay for the next one. The source (what git tracks, with the changes of
# the working tree, and new files that git does not ignore) is copied to /src there before each
# command; /src/build is kept between commands. The ccache of this machine is shared. Mounts live in
# a private namespace, so none is left behind. It needs root (or sudo).
#
#   CLEAVE_DEBIAN_CACHE  where the trees are kept
#   MIRROR               the Debian mirror (default: the one apt uses here)
set -euo pipefail

usage() {
  sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

[ $# -ge 2 ] || usage
case $1 in
  12) suite=bookworm ;;
  13) suite=trixie ;;
  *) usage ;;
esac
release=$1
shift

if [ "$(id -u)" -ne 0 ]; then
  exec sudo --preserve-env=CLEAVE_DEBIAN_CACHE,MIRROR,CCACHE_DIR,XDG_CACHE_HOME,HOME "$0" \
    "$release" "$@"
fi

source_dir=$(cd "$(dirname "$0")/.." && pwd)
cache=${CLEAVE_DEBIAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cleave}
tree=$cache/debian-$release
ccache_dir=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}

# The first archive of Debian's that apt knows here, without its security updates.
mirror_of_apt() {
  # shellcheck disable=SC2016  # apt-get expands it
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
    grep -v -- '-security' | head -n 1
}

make_tree() {
  command -v debootstrap >/dev/null || {
    apt-get update -q
    apt-get install -y -q --no-install-recommends debootstrap debian-archive-keyring
  }
  local mirror=${MIRROR:-$(mirror_of_apt || true)}
  mirror=${mirror:-http://deb.debian.org/debian}
  echo "in-debian.sh: making $tree from $mirror ($suite)"
  rm -rf --one-file-system "$tree.partial"
  mkdir -p "$cache"
  unshare --mount --propagation private debootstrap --variant=minbase \
    --include=ca-certificates "$suite" "$tree.partial" "$mirror"
  # Whatever this machine's apt needs to reach its mirror (a proxy, a clock that is off).
  local file
  for file in /etc/apt/apt.conf.d/*; do
    if [ -f "$file" ] && grep -qE '^[[:space:]]*Acquire' "$file"; then
      cp "$file" "$tree.partial/etc/apt/apt.conf.d/"
    fi
  done
  # A tree that can be made again need not be synced to disk package by package.
  echo force-unsafe-io > "$tree.partial/etc/dpkg/dpkg.cfg.d/unsafe-io"
  rm -rf "$tree.partial/var/cache/apt/archives/"*.deb
  mv "$tree.partial" "$tree"
}

copy_source() {
  local old=$tree/src
  rm -rf "$tree/src.new"
  mkdir -p "$tree/src.new"
  # A file that git tracks but the working tree has lost is not an error here.
  git -C "$source_dir" ls-files -z --cached --others --exclude-standard |
    (cd "$source_dir" && while IFS= read -r -d '' path; do
      [ ! -e "$path" ] && [ ! -L "$path" ] || printf '%s\0' "$path"
    done) |
    tar -C "$source_dir" --null --files-from - --create |
    tar -C "$tree/src.new" --extract --no-same-owner
  [ ! -d "$old/build" ] || mv "$old/build" "$tree/src.new/build"
  rm -rf "$old"
  mv "$tree/src.new" "$old"
}

mkdir -p "$cache" "$ccache_dir"
# One command at a time in a tree: held until the command ends.
exec 9> "$tree.lock"
flock --nonblock 9 || {
  echo "in-debian.sh: waiting for another command in $tree" >&2
  flock 9
}
[ -d "$tree" ] || make_tree
copy_source
cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
mkdir -p "$tree/root/.cache/ccache"

# shellcheck disable=SC2016  # expanded by the inner shell
exec unshare --mount --propagation private --pid --fork --kill-child bash -c '
  set -eu
  tree=$1 ccache_dir=$2
  shift 2
  mount -t proc proc "$tree/proc"
  mount --rbind /sys "$tree/sys"
  mount --rbind /dev "$tree/dev"
  mount --bind "$ccache_dir" "$tree/root/.cache/ccache"
  # Not by exec: the first process of a namespace is deaf to Ctrl-C.
  chroot "$tree" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c "cd /src && exec \"\$@\"" bash "$@" || exit "$?"
' bash "$tree" "$ccache_dir" "$@"
