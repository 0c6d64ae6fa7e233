#!/bin/bash
# empty_root.sh PROGRAM [ARGUMENT…]
# Runs a program in a read-only root directory that holds nothing but glibc and /proc, in the caller's network
# namespace: what a minimal container image offers.
set -euo pipefail
program=$(realpath "$1")
shift
root=$(mktemp -d)
trap 'rmdir "$root"' EXIT

unshare --mount --pid --fork bash -euc '
  root=$1 program=$2
  shift 2
  mount -t tmpfs tmpfs "$root"
  mkdir "$root/proc"
  # Libraries at the paths the loader looks in, whatever the architecture.
  for library in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.* \
    /lib/*-linux-gnu/{libc,libm}.so.6 /lib/*-linux-gnu/lib{dl,pthread}.so.? /lib/*-linux-gnu/{librt,libgcc_s}.so.1
  do
    [[ ! -e $library ]] || install -D "$library" "$root$library"
  done
  touch "$root/program"
  mount --bind "$program" "$root/program"
  mount -t proc proc "$root/proc"
  mount -o remount,ro "$root"
  exec env -i /usr/sbin/chroot "$root" /program "$@"
' _ "$root" "$program" "$@"
