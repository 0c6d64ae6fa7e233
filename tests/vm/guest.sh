#!/bin/bash
# Runs a suite as the first process of a virtual machine, and turns it off. scripts/vm.sh wrote in /run/job what to run;
# it shows what is said here, and takes the last line for the outcome.
set -o pipefail
. /run/job
exec </dev/null >/dev/ttyS1 2>&1
stty -opost </dev/ttyS1

main() {
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=$home NO_COLOR=1
  export PROXY_CACHE=$cache PROXY_BINARY=$binary PROXY_SLOWNESS=4
  mkdir -p /dev/pts /dev/shm /lib/modules
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  mount --bind "$kernel/lib/modules" /lib/modules
  # As on every node.
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t bpf bpf /sys/fs/bpf
  ip link set lo up
  # Neither does the kernel ask for this by itself.
  modprobe br_netfilter
  cd "$checkout"
  . scripts/env.sh

  echo "vm: $(uname -r) runs after $(cut -d' ' -f1 /proc/uptime) s"
  local status=0
  # Through a pipe, or Deno takes the serial line for a terminal and writes every line twice.
  case $suite in
    smoke) smoke 2>&1 | cat || status=$? ;;
    kernel) { modules_ahead && tests_of ipvs; } 2>&1 | cat || status=$? ;;
    programs) tests_of ebpf 2>&1 | cat || status=$? ;;
    command) bash -c "$filter" 2>&1 | cat || status=$? ;;
    *) { modules_ahead && conformance "$suite"; } 2>&1 | cat || status=$? ;;
  esac
  # The recording is no part of what is shown.
  [ -z "$record" ] || { stty raw && cat "dist/conformance/proxy-$suite.json"; } <>/dev/ttyS2 >&0
  echo "vm: status $status"
  # At once: all that was written is in memory and goes with it.
  busybox poweroff -f
}

# The kernel would load them when they are asked for, as it does in smoke: but it begins a transaction of nf_tables anew
# after each of them, which takes half a minute here.
modules_ahead() {
  modprobe --all nf_tables nfnetlink nf_conntrack_netlink nft_compat \
    nft_{chain_nat,ct,fib_inet,hash,limit,log,masq,nat,numgen,redir,reject_inet} veth dummy ip_vs ip_vs_rr
}

conformance() {
  PROXY_MODE=$1 CONFORMANCE_RECORD=$record deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} tests/conformance/conformance_test.ts
}

tests_of() {
  deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} "tests/integration/$1"
}

# That the machine is as complete as the suites of the modes take it for.
smoke() {
  modprobe --all dummy tun sctp ip_vs ip_vs_{rr,wrr,lc,wlc,lblc,lblcr,dh,sh,sed,nq,mh,fo,ovf} &&
    ip link add smoke type dummy && ip link delete smoke &&
    ipvsadm --add-service --tcp-service 192.0.2.1:80 --scheduler mh && ipvsadm --list && ipvsadm --clear &&
    deno test --allow-all --quiet --no-check --filter "machines talk" tests/lab/lab_test.ts &&
    for mode in nftables iptables ipvs ebpf; do
      filter="a ClusterIP is reached from everywhere" conformance $mode || return
    done
}

main
