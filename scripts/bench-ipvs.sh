#!/bin/bash
# Measures mode ipvs as scripts/bench.sh does, beside ipvsadm, in a virtual machine, for where the kernel has no IPVS:
#   scripts/bench-ipvs.sh [KERNEL] [as scripts/bench.sh]
# default 6.1, and 50 changes and 3 rounds, which take some 10 minutes. The machine is emulated: ratios say more than
# figures.
set -euo pipefail
cd "$(dirname "$0")/.."
kernel=6.1
[[ ${1:-} != [0-9]* ]] || { kernel=$1; shift; }
[ -n "${PROXY_BINARY:-}" ] || scripts/build.sh
exec scripts/vm.sh "$kernel" command "modprobe --all dummy ip_vs ip_vs_rr nf_tables nft_{ct,masq,fib_inet,reject_inet,chain_nat} nf_conntrack_netlink && scripts/bench.sh --mode ipvs --changes 50 --rounds 3 ${*@Q}"
