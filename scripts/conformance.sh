#!/bin/bash
# Writes docs/conformance.md: the outcome of every conformance scenario for the real kube-proxy and for this
# proxy.
#   scripts/conformance.sh [SUBJECT]...
# SUBJECT is "kube-proxy nftables", "kube-proxy iptables", "proxy nftables", "proxy iptables", "proxy ipvs",
# "proxy ebpf" or "proxy userspace". Without one, all subjects are recorded. Mode ipvs runs in an emulated machine, because not
# every kernel has IPVS; it takes three quarters of an hour. The recordings stay in dist/conformance for the
# next run. Needs root. Fails when a scenario has an outcome that tests/conformance/page/differences.ts does not
# explain.
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

[ $# -gt 0 ] || set -- "kube-proxy nftables" "kube-proxy iptables" "proxy nftables" "proxy iptables" "proxy ipvs" "proxy ebpf" "proxy userspace"
[[ $* != *kube-proxy* ]] || scripts/peers.sh
scripts/build.sh
for subject in "$@"; do
  echo "== $subject"
  read -r program mode <<<"$subject"
  # Remove the old recording, so that a run that ends before it records is noticed.
  rm -f "dist/conformance/${subject// /-}.json"
  # Failures do not stop the loop: document.ts reports all of them below.
  record "$program" "$mode" | grep -E '^(ok|FAILED|error)' || true
done
deno run --allow-all --no-check tests/conformance/page/document.ts
echo "conformance: docs/conformance.md is written"
