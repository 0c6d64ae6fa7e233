#!/bin/bash
# Runs a test suite on another kernel, in an emulated virtual machine that needs no KVM.
#   scripts/vm.sh [--arch arm64] KERNEL SUITE [FILTER]
# KERNEL is 6.1 or 6.12, the kernels of scripts/kernels.sh. SUITE is
#   smoke      checks that the machine is complete
#   kernel     tests/integration/ipvs, which needs kernel features that the host may not have
#   programs   tests/integration/ebpf, whose outcome depends on the kernel
#   a mode     tests/conformance in that mode
#   ffi, unit  tests/ffi; all tests that need neither root nor network
#   command    runs FILTER as a bash command
# For the other suites, FILTER selects tests by name, as `deno test --filter` does.
#
# The machine sees the host's files; its own writes stay in its memory. So it runs the same tools, the same
# checkout and the same dist/proxy (or PROXY_BINARY). With CONFORMANCE_RECORD set, it records a mode as
# scripts/conformance.sh does, and the recording is stored in dist/conformance. Needs root for virtiofsd.
#
# With --arch arm64 the machine has another processor. It then sees a root file system of Debian's packages for arm64
# (scripts/arm64.sh), the checkout, and dist/proxy-arm64.
set -euo pipefail
cd "$(dirname "$0")/.."

# Time limits in seconds: from the start of the kernel to the start of the suite (2 to 4 on an idle host), for
# the whole suite, and between two lines of its output.
boot_limit=${PROXY_VM_BOOT_LIMIT:-60}
suite_limit=${PROXY_VM_LIMIT:-1800}
silence_limit=${PROXY_VM_SILENCE:-300}

main() {
  arch=amd64
  if [ "${1:-}" = --arch ]; then
    [ "${2:-}" = arm64 ] || fail "unknown processor ${2:-}: must be arm64"
    arch=$2
    shift 2
  fi
  [ $# = 2 ] || [ $# = 3 ] || { sed -n '3s/^# */usage: /p' "$0" >&2; exit 2; }
  kernel_name=$1 suite=$2 filter=${3:-}
  [ "$(id -u)" = 0 ] || fail "must run as root, because virtiofsd needs it"
  . scripts/env.sh
  if [ "$arch" = arm64 ]; then
    [ "$suite" != programs ] || fail "the suite programs needs clang and Scapy, which a machine with arm64 does not have"
    scripts/setup.sh vm-arm64
    scripts/kernels.sh --arch arm64 "$kernel_name"
    [ -n "${PROXY_BINARY:-}" ] || scripts/build.sh --arch arm64
    scripts/bpf.sh
    binary=${PROXY_BINARY:-$PWD/dist/proxy-arm64} cache=$PROXY_CACHE/arm64 system=$PROXY_CACHE/arm64/system
    busybox=$system/usr/bin/busybox
  else
    scripts/setup.sh vm
    scripts/kernels.sh "$kernel_name"
    [ -n "${PROXY_BINARY:-}" ] || scripts/build.sh
    binary=${PROXY_BINARY:-$PWD/dist/proxy} cache=$PROXY_CACHE system=''
    busybox=$(command -v busybox)
  fi
  # Install Scapy here, because the machine has no network.
  [ "$suite" != programs ] || scripts/scapy.sh
  kernel=$cache/kernels/$kernel_name
  work=$(mktemp -d)
  machine='' files='' shown=''
  trap stop EXIT
  make_initrd

  boot || again || again || again || give_up "the kernel did not start the suite within $boot_limit s"
  follow_suite
  report
}

say() { echo "vm: $*"; }
fail() {
  say "$*" >&2
  exit 1
}

# Builds an initrd with only what is needed to mount the host's files. Modules that a suite needs are loaded
# from those files later.
make_initrd() {
  local root=$work/initrd module
  mkdir -p "$root"/{bin,modules,proc,sys,dev}
  cp "$busybox" "$root/bin/busybox"
  cp tests/vm/init "$root/init"
  {
    printf '%s=%q\n' checkout "$PWD" kernel "$kernel" cache "$cache" home "$HOME" suite "$suite" filter "$filter" \
      binary "$binary" record "${CONFORMANCE_RECORD:-}" system "$system" \
      deno_cache "${DENO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/deno}"
  } >"$root/job"
  local position=10
  for module in $(modules_of virtio_pci virtiofs overlay); do
    cp "$module" "$root/modules/$position-${module##*/}"
    position=$((position + 1))
  done
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/initrd.gz"
}

# Prints the files of modules and of their dependencies, in load order. Names that are not modules are built
# in.
modules_of() {
  local name
  for name; do
    modprobe --dirname "$kernel" --set-version "$(ls "$kernel/lib/modules")" --show-depends --ignore-install "$name"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# Starts the machine and returns when its suite prints the first line.
#
# One processor: with two, in separate threads, 2 of some 70 boots hung for an unknown reason. A PC instead of
# a microvm: a microvm can calibrate its clock only with a timer that fails on a busy host, and saves half a
# second at best.
#
# -cx16: QEMU 7.2 leaves wrong flags after CMPXCHG16B, which makes Linux 6.12 panic when it allocates memory.
# The other removed features are slow to emulate, and programs work without them: string instructions are
# emulated byte by byte, every write to PKRU drops all translated addresses, and a fifth level of page tables
# is a fifth lookup. norandmaps: translated code of a program can be reused by its next process only at the
# same addresses. Together they reduce the start of dist/proxy from 7 s to 2 s.
boot() {
  local virtiofsd
  virtiofsd=$(ls /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd 2>/dev/null | head -n 1)
  rm -f "$work/files.socket"
  : >"$work/output"
  "$virtiofsd" --socket-path="$work/files.socket" -o source=/ -o cache=always -o sandbox=chroot >"$work/files.log" 2>&1 &
  files=$!
  for ((tries = 0; tries < 100; tries++)); do
    [ ! -S "$work/files.socket" ] || break
    sleep 0.05
  done
  "emulator_$arch" -no-user-config -nodefaults -display none -no-reboot -accel tcg -m 3G \
    -object memory-backend-memfd,id=memory,size=3G,share=on -machine memory-backend=memory \
    -kernel "$kernel/vmlinuz" -initrd "$work/initrd.gz" \
    -chardev socket,id=files,path="$work/files.socket" -device vhost-user-fs-pci,chardev=files,tag=host \
    </dev/null >"$work/qemu.log" 2>&1 &
  machine=$!
  local began=$SECONDS
  until [ -s "$work/output" ]; do
    [ $((SECONDS - began)) -lt "$boot_limit" ] && is_running || return 1
    sleep 0.1
  done
}

emulator_amd64() {
  exec qemu-system-x86_64 -M pc -cpu max,-cx16,-erms,-fsrm,-pku,-la57 "$@" \
    -append "console=ttyS0 loglevel=4 panic=-1 tsc=reliable mitigations=off norandmaps" \
    -serial "file:$work/console" -serial "file:$work/output" -serial "file:$work/recording"
}

# The board virt has one serial line, so the others are PCI devices. A Neoverse N1 has atomic instructions, and neither
# pointer authentication nor SVE, which are slow to emulate.
emulator_arm64() {
  exec qemu-system-aarch64 -M virt -cpu neoverse-n1 "$@" \
    -append "console=ttyAMA0 loglevel=4 panic=-1 mitigations=off norandmaps" -serial "file:$work/console" \
    -chardev "file,id=output,path=$work/output" -device pci-serial,chardev=output \
    -chardev "file,id=recording,path=$work/recording" -device pci-serial,chardev=recording
}

# Shows the output of the suite until the machine is off. Gives up when a time limit passes.
follow_suite() {
  local began=$SECONDS size=0 grown=$SECONDS now
  tail -n +1 -f --pid=$machine --sleep-interval=0.2 "$work/output" &
  shown=$!
  while is_running; do
    now=$(stat -c %s "$work/output")
    [ "$now" = "$size" ] || { size=$now grown=$SECONDS; }
    [ $((SECONDS - grown)) -lt $silence_limit ] || give_up "the suite printed nothing for $silence_limit s"
    [ $((SECONDS - began)) -lt "$suite_limit" ] || give_up "the suite took longer than $suite_limit s"
    sleep 0.2
  done
  wait $shown || true
  shown=
}

# Boots once more: emulated on a busy host, a kernel sometimes hangs before it has started.
again() {
  say "the kernel did not start; trying again"
  stop_machine
  boot
}

is_running() { kill -0 "$machine" 2>/dev/null; }

report() {
  local status
  status=$(sed -n '$s/^vm: status \([0-9]*\)$/\1/p' "$work/output")
  [ -n "$status" ] || give_up "the machine ended before its suite did"
  # Kernel warnings are findings too.
  grep -aE 'WARNING:|BUG:|Oops|blocked for more than|stalls on CPU' "$work/console" | sed 's/^/vm: kernel: /' || true
  [ ! -s "$work/recording" ] || install -D -m 644 "$work/recording" "dist/conformance/proxy-$suite.json"
  say "$suite in kernel $kernel_name$([ "$arch" = amd64 ] || echo " on $arch") $([ "$status" = 0 ] && echo passed || echo FAILED) after $SECONDS s"
  exit "$status"
}

give_up() {
  cat "$work/qemu.log" >&2
  tail -n 20 "$work/console" | tr -d "\r" >&2
  fail "$suite in kernel $kernel_name FAILED: $1; the end of its console is above"
}

stop_machine() {
  local process
  for process in $machine $files $shown; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  machine='' files='' shown=''
}

stop() {
  stop_machine
  rm -rf "$work"
}

main "$@"
