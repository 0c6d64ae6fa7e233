#!/bin/bash
# Runs a command in a user-mode machine: a Linux kernel that is a program of this machine, with IPVS and pure cgroup
# version 2. It needs no KVM, and programs in it run almost at the speed of this machine.
#   scripts/uml.sh COMMAND [ARGUMENT]...
# The machine sees the host's files. What it writes is lost, except for files below dist. It has no network. Variables
# that begin with PROXY_ or E2E_ are passed on.
#   UML_PROCESSORS   number of processors (default: those of the host)
#   UML_MEMORY       megabytes of memory (default: 6144), taken from /dev/shm as they are used
# The first run builds the kernel, which takes 10 minutes of processor time. docs/development.md describes it. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
usage=$(sed -n '4s/^# */usage: /p' "$0")
. scripts/cluster/settings.sh
. scripts/debian.sh

# The release of Debian whose current linux-source is built. In older kernels, system calls go through ptrace, and
# there is one processor: seccomp= came with Linux 6.16, ncpus= with 6.19.
release=trixie-backports
kernel=$PROXY_CACHE/kernels/uml

main() {
  [ $# -gt 0 ] || { echo "$usage" >&2; exit 2; }
  [ "$(id -u)" = 0 ] || fail "must run as root, because the machine reads the host's files"
  scripts/setup.sh uml
  prepare_kernel
  work=$(mktemp -d "$PROXY_CACHE/uml.XXXXXX")
  machine=
  trap stop EXIT
  make_disk
  write_job "$@"
  start
  wait "$machine" || true
  machine=
  [ -s "$work/status" ] || fail "the machine ended before the command did: see its last messages above"
  exit "$(cat "$work/status")"
}

say() { echo "uml: $*"; }
fail() {
  echo "uml: $*" >&2
  exit 1
}

prepare_kernel() {
  cmp -s tests/vm/uml.config "$kernel/config" || (
    mkdir -p "${kernel%/*}"
    exec 8>"${kernel%/*}/.lock"
    flock 8
    cmp -s tests/vm/uml.config "$kernel/config" || build_kernel
  )
}

build_kernel() {
  local package source
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  use_debian "$work/apt" amd64 $release
  package=$(private apt-cache depends linux-source | sed -nE 's/^ *Depends: (linux-source-[0-9].*)/\1/p')
  [ -n "$package" ] || fail "Debian $release has no package linux-source"
  say "$package: building, which takes 10 minutes of processor time"
  (cd "$work" && quietly private apt-get download "$package")
  quietly dpkg-deb --extract "$work"/*.deb "$work/unpacked"
  source=$work/$package
  quietly tar --extract --file "$work/unpacked/usr/src/$package.tar.xz" --directory "$work"
  quietly env KCONFIG_ALLCONFIG="$PWD/tests/vm/uml.config" make --directory "$source" ARCH=um allnoconfig
  check_options "$source/.config"
  quietly nice -n 10 make --directory "$source" --jobs "$(nproc)" ARCH=um linux
  rm -rf "$kernel"
  mkdir "$kernel"
  strip --strip-debug -o "$kernel/linux" "$source/linux"
  cp tests/vm/uml.config "$kernel/config"
}

# An option is dropped without a word if this kernel does not have it, or lacks another that it needs.
check_options() {
  local dropped
  dropped=$(grep '^CONFIG_' tests/vm/uml.config | grep -Fxv --file="$1" | paste -sd ' ' || true)
  [ -z "$dropped" ] || fail "tests/vm/uml.config: $package does not have, or not without other options: $dropped"
}

# The disk takes as much space as is written to it.
make_disk() {
  truncate --size 24G "$work/disk"
  quietly mkfs.ext4 -q -E lazy_itable_init=1,nodiscard "$work/disk"
}

write_job() {
  mkdir -p dist
  {
    printf '%s=%q\n' checkout "$PWD" state "$state"
  } >"$work/job"
  {
    printf 'export %s=%q\n' HOME "$HOME" NO_COLOR 1 PATH "$PATH"
    local name
    for name in $(compgen -e | grep -E '^(PROXY|E2E)_'); do printf 'export %s=%q\n' "$name" "${!name}"; done
    echo "command=($(printf '%q ' "$@"))"
  } >"$work/environment"
}

# `quiet` and loglevel=1 leave the messages of a panic. job is passed on to uml-init.
start() {
  "$kernel/linux" mem="${UML_MEMORY:-6144}M" ncpus="${UML_PROCESSORS:-$(nproc)}" seccomp=on quiet loglevel=1 \
    rootfstype=hostfs rootflags=/ ubd0="$work/disk" con=null con0=null,fd:1 init="$PWD/tests/vm/uml-init" job="$work" \
    </dev/null &
  machine=$!
}

# shellcheck disable=SC2317  # called by a trap
stop() {
  if [ -n "$machine" ]; then
    kill "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
  fi
  rm -rf "$work"
}

main "$@"
