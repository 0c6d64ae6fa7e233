#!/bin/bash
# Runs a suite as the first process of a virtual machine and then powers the machine off. scripts/vm.sh has written the
# job to /run/job; it shows the output of this script and reads the outcome from its last line.
set -o pipefail
. /run/job
# The first serial line of each machine is the kernel's. That of arm64 has a name of its own.
case $(uname -m) in aarch64) lines=(/dev/ttyS0 /dev/ttyS1) ;; *) lines=(/dev/ttyS1 /dev/ttyS2) ;; esac
exec </dev/null >"${lines[0]}" 2>&1
stty -opost <"${lines[0]}"

main() {
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=$home NO_COLOR=1
  export PROXY_CACHE=$cache PROXY_BINARY=$binary
  [ "$(uname -m)" != aarch64 ] || export BPF_PREBUILT=yes
  mkdir -p /dev/pts /dev/shm /lib/modules
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  mount --bind "$kernel/lib/modules" /lib/modules
  # The usual mounts of a node.
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t bpf bpf /sys/fs/bpf
  ip link set lo up
  # The kernel does not load this module on demand.
  modprobe br_netfilter
  cd "$checkout"
  . scripts/env.sh

  export PROXY_SLOWNESS
  PROXY_SLOWNESS=$(slowness)
  echo "vm: $(uname -r) runs after $(cut -d' ' -f1 /proc/uptime) s, time limits $PROXY_SLOWNESS times as long"
  local status=0
  # The pipe keeps Deno from treating the serial line as a terminal, where it would write every line twice.
  case $suite in
    smoke) smoke 2>&1 | cat || status=$? ;;
    kernel) { load_modules && tests_of ipvs; } 2>&1 | cat || status=$? ;;
    # The module tun creates /dev/net/tun, which is needed to make a tun device.
    programs) { modprobe tun && tests_of ebpf; } 2>&1 | cat || status=$? ;;
    ffi) units tests/ffi 2>&1 | cat || status=$? ;;
    unit) units tests/ffi tests/backends tests/core tests/oracle 2>&1 | cat || status=$? ;;
    command) bash -c "$filter" 2>&1 | cat || status=$? ;;
    *) { load_modules && conformance "$suite"; } 2>&1 | cat || status=$? ;;
  esac
  # The recording goes to a serial line of its own, because it is not part of the output.
  [ -z "$record" ] || { stty raw && cat "dist/conformance/proxy-$suite.json"; } <>"${lines[1]}" >&0
  echo "vm: status $status"
  # Power off immediately: all written files are in memory, so nothing has to be synced.
  busybox poweroff -f
}

# Prints the factor for time limits: 4 on an idle host, more on a busy one, at most 16. Measures how much longer a loop
# takes than on an idle host (0.5 s).
slowness() {
  local began=${EPOCHREALTIME/./} loop idle=500000 taken
  for ((loop = 0; loop < 20000; loop++)); do :; done
  taken=$((${EPOCHREALTIME/./} - began))
  awk -v times="$taken" -v idle=$idle 'BEGIN { times /= idle; print 4 * (times < 1 ? 1 : times > 4 ? 4 : times) }'
}

# Loads modules in advance. The kernel also loads them on demand, as in smoke, but it restarts an nf_tables transaction
# after each of them, which takes half a minute here.
load_modules() {
  modprobe --all nf_tables nfnetlink nf_conntrack_netlink nft_compat \
    nft_{chain_nat,ct,fib_inet,hash,limit,log,masq,nat,numgen,redir,reject_inet} veth dummy ip_vs ip_vs_rr
}

conformance() {
  PROXY_MODE=$1 CONFORMANCE_RECORD=$record deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} tests/conformance/conformance_test.ts
}

units() {
  deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} "$@"
}

tests_of() {
  deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} "tests/integration/$1"
}

# Checks that the machine has everything that the suites of the modes need.
smoke() {
  modprobe --all dummy tun sctp ip_vs ip_vs_{rr,wrr,lc,wlc,lblc,lblcr,dh,sh,sed,nq,mh,fo,ovf} &&
    ip link add smoke type dummy && ip link delete smoke &&
    ipvsadm --add-service --tcp-service 192.0.2.1:80 --scheduler mh && ipvsadm --list && ipvsadm --clear &&
    deno test --allow-all --quiet --no-check --filter "machines talk" tests/lab/lab_test.ts &&
    for mode in nftables iptables ipvs ebpf userspace; do
      filter="a ClusterIP is reached from everywhere" conformance $mode || return
    done
}

main
