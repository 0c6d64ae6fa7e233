#!/bin/bash
# Fetches the kernels that scripts/vm.sh boots: Debian packages, which are unpacked and not installed.
#   scripts/kernels.sh [KERNEL]...      (default: all of them)
# A kernel is stored in ${PROXY_CACHE:-~/.cache/proxy}/kernels/KERNEL, as vmlinuz and lib/modules. An existing
# directory is not updated: remove it to fetch the current package.
set -euo pipefail

# Kernels, and for each the Debian release whose current linux-image-cloud-amd64 it is.
releases=(
  6.1:bookworm
  6.12:bookworm-backports
)

kernels=$(realpath -m "${PROXY_CACHE:-$HOME/.cache/proxy}")/kernels

main() {
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

  follow "$(release_of "$kernel")"
  package=$(private apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
  [ -n "$package" ] || fail "Debian $(release_of "$kernel") has no package linux-image-cloud-amd64"
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

# Prepares a private apt configuration for one Debian release, with the mirror and the keys of this machine.
# Does not change the apt configuration of the machine.
follow() {
  local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian' --format '$(REPO_URI)' | grep -m 1 '/debian/$') ||
    fail "apt has no Debian mirror on this machine, and kernels are Debian packages: add one to its sources"
  [ -e "$keys" ] || fail "$keys not found: apt-get install debian-archive-keyring"
  rm -rf "$work"/*
  mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,none}
  echo "deb [arch=amd64 signed-by=$keys] $mirror $1 main" >"$work/apt/sources.list"
  quietly private apt-get update
}

private() {
  local command=$1
  shift
  "$command" -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts="$work/apt/none" \
    -o Dir::Etc::PreferencesParts="$work/apt/none" -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
    -o APT::Sandbox::User=root "$@"
}

# Runs a command, and shows its output only when it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || fail "$* failed:"$'\n'"$output"
}

main "$@"
