#!/bin/bash
# Fetches the kernels that scripts/vm.sh boots: Debian packages, which are unpacked and not installed.
#   scripts/kernels.sh [--arch arm64] [KERNEL]...      (default: all of them, for x86-64)
# A kernel is stored in ${PROXY_CACHE:-~/.cache/proxy}/kernels/KERNEL, as vmlinuz and lib/modules, or in
# …/proxy/arm64/kernels/KERNEL. An existing directory is not updated: remove it to fetch the current package.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian.sh

# Kernels, and for each the Debian release whose current linux-image-cloud-amd64 or -arm64 it is.
releases=(
  6.1:bookworm
  6.12:bookworm-backports
)

cache=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")
arch=amd64 kernels=$cache/kernels

main() {
  if [ "${1:-}" = --arch ]; then
    [ "${2:-}" = arm64 ] || fail "unknown processor ${2:-}: must be arm64"
    arch=$2 kernels=$cache/$2/kernels
    shift 2
  fi
  [ $# -gt 0 ] || set -- "${releases[@]%:*}"
  local kernel
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for kernel; do
    release_of "$kernel" >/dev/null
    [ -d "$kernels/$kernel" ] || fetch "$kernel"
  done
}

fail() {
  echo "kernels: $*" >&2
  exit 1
}

release_of() {
  local release
  for release in "${releases[@]}"; do
    [ "${release%:*}" != "$1" ] || { echo "${release#*:}" && return; }
  done
  fail "unknown kernel $1: must be one of ${releases[*]%:*}"
}

fetch() {
  local kernel=$1 package version
  mkdir -p "$kernels"
  exec {lock}>"$kernels/.lock"
  flock $lock
  [ ! -d "$kernels/$kernel" ] || return 0

  rm -rf "${work:?}"/*
  use_debian "$work/apt" "$arch" "$(release_of "$kernel")"
  package=$(private apt-cache depends "linux-image-cloud-$arch" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
  [ -n "$package" ] || fail "Debian $(release_of "$kernel") has no package linux-image-cloud-$arch"
  echo "kernels: $kernel: $package"
  (cd "$work" && quietly private apt-get download "$package")
  quietly dpkg-deb --extract "$work"/*.deb "$work/unpacked"

  version=${package#linux-image-}
  mkdir -p "$work/kernel/lib"
  mv "$work/unpacked/boot/vmlinuz-$version" "$work/kernel/vmlinuz"
  # Debian 13 and later have usr/lib/modules.
  mv "$work"/unpacked/{,usr/}lib/modules "$work/kernel/lib/" 2>/dev/null || true
  [ -d "$work/kernel/lib/modules/$version" ] || fail "$package contains no modules for $version"
  # Unpack the modules here, because an emulated processor would take long to do it.
  find "$work/kernel/lib" -name '*.ko.xz' -exec xz --decompress {} +
  quietly depmod --basedir "$work/kernel" "$version"
  rm -rf "$kernels/.new"
  cp -r "$work/kernel" "$kernels/.new"
  mv "$kernels/.new" "$kernels/$kernel"
  exec {lock}>&-
}

main "$@"
