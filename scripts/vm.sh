#!/bin/bash
# Runs a suite of tests in another kernel, in a virtual machine. It is emulated, so that it needs no KVM:
#   scripts/vm.sh KERNEL SUITE [FILTER]
# KERNEL is one that scripts/kernels.sh names: 6.1 or 6.12. SUITE is
#   smoke      whether the machine is complete
#   kernel     tests/integration/ipvs, of what the build machine's kernel may not have
#   programs   tests/integration/ebpf, of what every kernel has its own mind about
#   a mode     tests/conformance in that mode
#   command    FILTER is a command of bash
# Else FILTER names tests to run, as `deno test --filter` takes it.
#
# The machine sees the host's files, and what it writes stays in its memory. So it runs the same tools, the same
# checkout and the same dist/proxy, or PROXY_BINARY. With CONFORMANCE_RECORD it records a mode as scripts/conformance.sh
# does, and the recording is put into dist/conformance. Needs root, for virtiofsd.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds: for the kernel until the suite begins (2 to 4 on an idle machine), for the suite, and for two lines of it.
boot_limit=60
suite_limit=${PROXY_VM_LIMIT:-1800}
silence_limit=300

main() {
  [ $# = 2 ] || [ $# = 3 ] || { sed -n '3s/^# */usage: /p' "$0" >&2; exit 2; }
  kernel_name=$1 suite=$2 filter=${3:-}
  [ "$(id -u)" = 0 ] || fail "needs root"
  scripts/setup.sh vm
  . scripts/env.sh
  scripts/kernels.sh "$kernel_name"
  [ -n "${PROXY_BINARY:-}" ] || scripts/build.sh
  # There is no network in the machine.
  [ "$suite" != programs ] || scripts/scapy.sh
  kernel=$PROXY_CACHE/kernels/$kernel_name
  work=$(mktemp -d)
  machine='' files='' shown=''
  trap stop EXIT
  make_initrd

  boot || again || again || again || give_up "the kernel did not come to the suite in $boot_limit s"
  follow_suite
  report
}

say() { echo "vm: $*"; }
fail() {
  say "$*" >&2
  exit 1
}

# The initrd holds just enough to reach the host's files; the suite's own modules are loaded from there, by whoever
# needs them.
make_initrd() {
  local root=$work/initrd module
  mkdir -p "$root"/{bin,modules,proc,sys,dev}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp tests/vm/init "$root/init"
  {
    printf '%s=%q\n' checkout "$PWD" kernel "$kernel" cache "$PROXY_CACHE" home "$HOME" suite "$suite" filter "$filter" \
      binary "${PROXY_BINARY:-$PWD/dist/proxy}" record "${CONFORMANCE_RECORD:-}"
  } >"$root/job"
  local position=10
  for module in $(modules_of virtio_pci virtiofs overlay); do
    cp "$module" "$root/modules/$position-${module##*/}"
    position=$((position + 1))
  done
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/initrd.gz"
}

# The files of modules and of what they depend on, in the order to load them. What is not a module is built in.
modules_of() {
  local name
  for name; do
    modprobe --dirname "$kernel" --set-version "$(ls "$kernel/lib/modules")" --show-depends --ignore-install "$name"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# One processor: with two, in threads of their own, 2 boots of some 70 hung, why is not known. A PC rather than a microvm: that has
# nothing to calibrate its clock with but a timer that fails on a busy host, and is half a second faster at best.
#
# cx16: QEMU 7.2 leaves wrong flags behind CMPXCHG16B, on which Linux 6.12 panics when it allocates memory. The others
# are slow to emulate, and a program does without: string instructions go byte by byte, each write to PKRU forgets all
# translated addresses, and a fifth level of page tables is a fifth look. norandmaps: what was translated of a program
# serves its next process only at the same addresses. Together they make a start of dist/proxy take 2 s, not 7.
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
  qemu-system-x86_64 -no-user-config -nodefaults -display none -no-reboot -M pc -accel tcg -cpu max,-cx16,-erms,-fsrm,-pku,-la57 -m 3G \
    -object memory-backend-memfd,id=memory,size=3G,share=on -machine memory-backend=memory \
    -kernel "$kernel/vmlinuz" -initrd "$work/initrd.gz" \
    -append "console=ttyS0 loglevel=4 panic=-1 tsc=reliable mitigations=off norandmaps" \
    -chardev socket,id=files,path="$work/files.socket" -device vhost-user-fs-pci,chardev=files,tag=host \
    -serial "file:$work/console" -serial "file:$work/output" -serial "file:$work/recording" </dev/null >"$work/qemu.log" 2>&1 &
  machine=$!
  local began=$SECONDS
  until [ -s "$work/output" ]; do
    [ $((SECONDS - began)) -lt $boot_limit ] && is_running || return 1
    sleep 0.1
  done
}

# Shows what the suite says, until the machine is off or has said nothing for too long.
follow_suite() {
  local began=$SECONDS size=0 grown=$SECONDS now
  tail -n +1 -f --pid=$machine --sleep-interval=0.2 "$work/output" &
  shown=$!
  while is_running; do
    now=$(stat -c %s "$work/output")
    [ "$now" = "$size" ] || { size=$now grown=$SECONDS; }
    [ $((SECONDS - grown)) -lt $silence_limit ] || give_up "the suite said nothing for $silence_limit s"
    [ $((SECONDS - began)) -lt "$suite_limit" ] || give_up "the suite took longer than $suite_limit s"
    sleep 0.2
  done
  wait $shown || true
  shown=
}

# Emulated on a busy host, a kernel hangs now and then before it has begun.
again() {
  say "once more"
  stop_machine
  boot
}

is_running() { kill -0 "$machine" 2>/dev/null; }

report() {
  local status
  status=$(sed -n '$s/^vm: status \([0-9]*\)$/\1/p' "$work/output")
  [ -n "$status" ] || give_up "the machine ended before its suite did"
  # The kernel's own complaints are findings, too.
  grep -aE 'WARNING:|BUG:|Oops|blocked for more than|stalls on CPU' "$work/console" | sed 's/^/vm: kernel: /' || true
  [ ! -s "$work/recording" ] || install -D -m 644 "$work/recording" "dist/conformance/proxy-$suite.json"
  say "$suite in kernel $kernel_name $([ "$status" = 0 ] && echo passed || echo FAILED) after $SECONDS s"
  exit "$status"
}

give_up() {
  cat "$work/qemu.log" >&2
  tail -n 20 "$work/console" | tr -d "\r" >&2
  fail "$suite in kernel $kernel_name FAILED: $1; its console ends as above"
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
