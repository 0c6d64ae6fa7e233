#!/bin/bash
# Measures mode ipvs in a virtual machine, for hosts whose kernel has no IPVS: the measurements of
# scripts/bench.sh, and a comparison with ipvsadm. The machine is emulated, so ratios mean more than absolute
# figures.
#   scripts/bench-ipvs.sh [KERNEL] [options of scripts/bench.sh]
# Defaults: 6.1 --services 10000 --endpoints 10 --changes 20 --rounds 1. Takes half an hour, and a third of
# that with --backend-only.
set -euo pipefail
cd "$(dirname "$0")/.."
kernel=6.1
case ${1:-} in
  [0-9]*) kernel=$1 && shift ;;
esac
[ -n "${PROXY_BINARY:-}" ] || scripts/build.sh

# Load the modules first: a module that the kernel loads on demand during a transaction would count as its
# time. The loop prints a line every two minutes, because scripts/vm.sh stops a suite that stays silent.
PROXY_VM_LIMIT=${PROXY_VM_LIMIT:-3600} exec scripts/vm.sh "$kernel" command "
  modprobe --all dummy ip_vs{,_rr} nf_tables nf_conntrack_netlink nft_{chain_nat,ct,fib_inet,masq,reject_inet}
  while sleep 120; do echo '  …'; done &
  scripts/bench.sh --mode ipvs --changes 20 --rounds 1 ${*@Q}"
