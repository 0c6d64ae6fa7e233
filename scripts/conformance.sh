#!/bin/bash
# Writes docs/conformance.md: what the real kube-proxy and this proxy do with every conformance scenario.
#   scripts/conformance.sh [SUBJECT]...
# A SUBJECT is "kube-proxy nftables", "kube-proxy iptables", "proxy nftables", "proxy iptables", "proxy ipvs" or "proxy
# ebpf"; without one all are recorded. Mode ipvs runs in an emulated machine, for not every kernel has IPVS: three quarters of an hour.
# The recordings stay in dist/conformance, for the next time. Needs root. Fails when a scenario has an outcome that
# tests/conformance/differences.ts does not explain.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
. scripts/env.sh

record() {
  export CONFORMANCE_RECORD=yes NO_COLOR=1
  if [ "$2" = ipvs ]; then
    PROXY_VM_LIMIT=5400 scripts/vm.sh 6.1 ipvs
  else
    SUBJECT=$1 PROXY_MODE=$2 deno test --allow-all --quiet --no-check tests/conformance/conformance_test.ts
  fi
}

[ $# -gt 0 ] || set -- "kube-proxy nftables" "kube-proxy iptables" "proxy nftables" "proxy iptables" "proxy ipvs" "proxy ebpf"
[[ $* != *kube-proxy* ]] || scripts/peers.sh
scripts/build.sh
for subject in "$@"; do
  echo "== $subject"
  read -r program mode <<<"$subject"
  # Or a run that ends before it could record would go unnoticed.
  rm -f "dist/conformance/${subject// /-}.json"
  # What fails is named below, with all that is wrong.
  record "$program" "$mode" | grep -E '^(ok|FAILED|error)' || true
done
deno run --allow-all --no-check tests/conformance/document.ts
echo "conformance: docs/conformance.md is written"
