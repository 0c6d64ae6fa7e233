#!/bin/bash
# Fetches the kernels that scripts/vm.sh boots, as packages of Debian that are unpacked and not installed:
#   scripts/kernels.sh [KERNEL]...      (none named: all of them)
# into ${PROXY_CACHE:-~/.cache/proxy}/kernels/KERNEL, as vmlinuz and lib/modules. What is there stays: remove the
# folder to get the package that is current now.
set -euo pipefail

# A kernel, and the release of Debian whose current linux-image-cloud-amd64 it is.
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
  fail "no kernel is called $1: name one of ${releases[*]%:*}"
}

fetch() {
  local kernel=$1 package version
  mkdir -p "$kernels"
  exec {lock}>"$kernels/.lock"
  flock $lock
  [ ! -d "$kernels/$kernel" ] || return 0

  follow "$(release_of "$kernel")"
  package=$(private apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
  [ -n "$package" ] || fail "$(release_of "$kernel") has no linux-image-cloud-amd64"
  echo "kernels: $kernel: $package"
  (cd "$work" && quietly private apt-get download "$package")
  quietly dpkg-deb --extract "$work"/*.deb "$work/unpacked"

  version=${package#linux-image-}
  mkdir -p "$work/kernel/lib"
  mv "$work/unpacked/boot/vmlinuz-$version" "$work/kernel/vmlinuz"
  # Since Debian 13 it is usr/lib/modules.
  mv "$work"/unpacked/{,usr/}lib/modules "$work/kernel/lib/" 2>/dev/null || true
  [ -d "$work/kernel/lib/modules/$version" ] || fail "$package has no modules of $version"
  # An emulated processor would take long to unpack them.
  find "$work/kernel/lib" -name '*.ko.xz' -exec xz --decompress {} +
  quietly depmod --basedir "$work/kernel" "$version"
  rm -rf "$kernels/.new"
  cp -r "$work/kernel" "$kernels/.new"
  mv "$kernels/.new" "$kernels/$kernel"
  exec {lock}>&-
}

# Makes apt's tools look at one release of Debian, from the mirror and with the keys that this machine has, and leaves
# what the machine itself follows as it is.
follow() {
  local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(apt-get indextargets 'Created-By: Packages' 'Origin: Debian' --format '$(REPO_URI)' | grep -m 1 '/debian/$') ||
    fail "apt follows no mirror of Debian here: kernels are Debian packages"
  [ -e "$keys" ] || fail "$keys is not there: install debian-archive-keyring"
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

# Output only when it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || fail "$* failed:"$'\n'"$output"
}

main "$@"
