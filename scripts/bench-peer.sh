#!/bin/bash
# Compares proxy with the real kube-proxy, both in the same mode, fed by the same API server, in a network
# namespace made for the comparison.
#   scripts/bench-peer.sh [--services N] [--endpoints N] [--rounds N] [--changes N] [--limit SECONDS]
#     Defaults: 2000 10 3 10 200. Takes about 3 minutes.
#   scripts/bench-peer.sh --mode iptables [--nft-services N,N…] [options as above]
#     Defaults: 10000 services with iptables-legacy, 1000 and 4000 with iptables-nft, 1 round.
#     Takes about 8 minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
scripts/build.sh
scripts/peers.sh kube-proxy

namespace=proxy-bench-$$
# Kills both programs here: the benchmark cannot stop them if it is killed together with this script.
finish() {
  local pids
  pids=$(ip netns pids "$namespace")
  # shellcheck disable=SC2086 # one argument per process
  [ -z "$pids" ] || kill -9 $pids
  ip netns del "$namespace"
  rm -r "$work"
}
work=$(mktemp -d)
ip netns add "$namespace"
trap finish EXIT
# kube-proxy finds iptables through PATH: make one directory of links per flavour.
for flavour in legacy nft; do
  mkdir "$work/$flavour"
  for tool in {ip,ip6}tables{,-save,-restore}; do
    ln -s "$(command -v xtables-$flavour-multi)" "$work/$flavour/$tool"
  done
done
ip -n "$namespace" -batch - <<'LINES'
link set lo up
address add 10.244.0.1/32 dev lo
address add 10.244.0.2/32 dev lo
link add out type veth peer name nowhere
link set out up
link set nowhere up
route add 10.96.0.0/12 dev out src 10.244.0.1
LINES
ip netns exec "$namespace" deno run --quiet --cached-only -A tests/bench/compare.ts \
  --kube-proxy "$PROXY_CACHE/peers/kube-proxy" --proxy "${PROXY_BINARY:-dist/proxy}" --xtables "$work" "$@"
