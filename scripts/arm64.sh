#!/bin/bash
# Fetches Debian packages for arm64. They are unpacked and not installed, so that this machine stays as it is.
#   scripts/arm64.sh libraries       the C library, the libraries that scripts/build.sh embeds, and their headers
#   scripts/arm64.sh system          the root file system for scripts/vm.sh --arch arm64
#   scripts/arm64.sh origin FILE     prints the package of a library with its version; fails if the file was changed
# They are stored in ${PROXY_CACHE:-~/.cache/proxy}/arm64, as root and system. The libraries are fetched again when
# Debian's packages on this machine have another version.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/debian.sh

store=$PROXY_CACHE/arm64

packages=(
  libc6 libgcc-s1 libnl-3-200 libbpf1 libelf1 zlib1g libssl3
  # Headers, with which tests check constants and the layouts of structures.
  libc6-dev linux-libc-dev
)

# Programs that the suites of tests/vm/guest.sh run.
system_packages=(
  bash dash coreutils findutils grep sed gawk util-linux mount procps kmod
  iproute2 iputils-ping nftables iptables ipvsadm ipset conntrack bpftool
  python3 openssl ca-certificates curl strace busybox-static
)

main() {
  case ${1:-} in
    libraries) libraries ;;
    system) system ;;
    origin) origin "$2" ;;
    *) fail "unknown command ${1:-}: must be libraries, system or origin" ;;
  esac
}

fail() {
  echo "arm64: $*" >&2
  exit 1
}

libraries() {
  local wanted archive package
  wanted=$(versions_on_this_machine)
  [ "$(cat "$store/root.versions" 2>/dev/null)" != "$wanted" ] || return 0
  begin
  [ "$(cat "$store/root.versions" 2>/dev/null)" != "$wanted" ] || return 0
  echo "arm64: Debian packages: ${packages[*]}"
  follow_this_machine
  (mkdir "$work/archives" && cd "$work/archives" && quietly private apt-get download "${packages[@]}")
  mkdir -p "$work/root" "$work/sums"
  for archive in "$work"/archives/*.deb; do
    quietly dpkg-deb --extract "$archive" "$work/root"
    package=$(dpkg-deb --field "$archive" Package)
    # The package's own checksums of its files, and its name and version, for `origin`.
    dpkg-deb --ctrl-tarfile "$archive" | tar --extract --to-stdout ./md5sums >"$work/sums/$package"
    echo "$package $(dpkg-deb --field "$archive" Version) arm64" >"$work/sums/$package.version"
  done
  mv "$work/sums" "$work/root/packages"
  rm -rf "$store/root" "$store/root.versions"
  mv "$work/root" "$store/root"
  echo "$wanted" >"$store/root.versions"
}

versions_on_this_machine() { dpkg-query --show "${packages[@]}" 2>/dev/null || true; }

origin() {
  local name path package
  name=$(basename "$(realpath "$1")")
  path=$(realpath --relative-to "$store/root" "$1")
  package=$(cd "$store/root/packages" && grep -lF "  $path" -- * | head -n 1)
  [ -n "$package" ] || fail "$1 belongs to no Debian package: remove $store/root.versions and try again"
  (cd "$store/root" && grep -F "  $path" "packages/$package" | md5sum --check --quiet >/dev/null 2>&1) ||
    fail "$name is not the file of package $package: remove $store/root.versions and try again"
  cat "$store/root/packages/$package.version"
}

# Packages are only unpacked, because their scripts would have to run in an emulator. So this does what those scripts
# would do, as far as the suites need it.
system() {
  local wanted="${system_packages[*]}" root=$store/system suites
  [ "$(cat "$store/system.packages" 2>/dev/null)" != "$wanted" ] || return 0
  begin
  [ "$(cat "$store/system.packages" 2>/dev/null)" != "$wanted" ] || return 0
  echo "arm64: root file system from Debian packages: $wanted"
  follow_this_machine
  rm -rf "$root" "$store/system.packages"
  # shellcheck disable=SC2016  # mmdebstrap sets $1.
  quietly nice -n 10 mmdebstrap --mode=root --variant=extract --architectures=arm64 \
    --include="$(IFS=,; echo "${system_packages[*]}")" \
    --setup-hook='mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" && ln -s usr/bin usr/sbin usr/lib "$1/"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" "$debian/sources.list"
  # Links that scripts of packages make: the shell, and alternatives.
  ln -sf dash "$root/usr/bin/sh"
  ln -sf gawk "$root/usr/bin/awk"
  for name in iptables ip6tables; do
    ln -sf $name-nft "$root/usr/sbin/$name"
    for suffix in save restore; do ln -sf $name-nft-$suffix "$root/usr/sbin/$name-$suffix"; done
  done
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
  echo "$wanted" >"$store/system.packages"
}

begin() {
  mkdir -p "$store"
  exec 9>"$store/.lock"
  flock 9
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
}

follow_this_machine() {
  local suites
  mapfile -t suites < <(suites_of_this_machine)
  use_debian "$work/apt" arm64 "${suites[@]}"
}

main "$@"
