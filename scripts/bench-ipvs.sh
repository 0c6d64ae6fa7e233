#!/bin/bash
# Measures mode ipvs as scripts/bench.sh does, and beside ipvsadm, in a virtual machine: for where the kernel has no
# IPVS. The machine is emulated, so that ratios say more than figures.
#   scripts/bench-ipvs.sh [KERNEL] [as scripts/bench.sh]
# default 6.1 --services 10000 --endpoints 10 --changes 20 --rounds 1; half an hour, a third of it with --backend-only
set -euo pipefail
cd "$(dirname "$0")/.."
kernel=6.1
case ${1:-} in
  [0-9]*) kernel=$1 && shift ;;
esac
[ -n "${PROXY_BINARY:-}" ] || scripts/build.sh

# What the kernel would load when it is asked for costs a transaction its time. The suite has to say something at times.
PROXY_VM_LIMIT=${PROXY_VM_LIMIT:-3600} exec scripts/vm.sh "$kernel" command "
  modprobe --all dummy ip_vs{,_rr} nf_tables nf_conntrack_netlink nft_{chain_nat,ct,fib_inet,masq,reject_inet}
  while sleep 120; do echo '  …'; done &
  scripts/bench.sh --mode ipvs --changes 20 --rounds 1 ${*@Q}"
