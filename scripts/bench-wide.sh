#!/bin/bash
# Measures changes of the endpoints of one service with very many ports and addresses, in a network namespace
# made for the measurement.
#   scripts/bench-wide.sh [--mode nftables|iptables|ebpf|ipvs] [--ports N] [--addresses N] [--endpoints N]
#                         [--policy Cluster|Local] [--protocol TCP|UDP] [--rounds N] [--all]
# Defaults: nftables 3000 24 10 Cluster TCP 5. With --all, it also removes all endpoints at once. Mode ipvs needs
# a kernel with IPVS.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
scripts/bpf.sh
source scripts/bench-sandbox.sh
ip -n "$name" link set lo up

nsenter --net="/run/netns/$name" deno run --quiet --cached-only --v8-flags="$PROXY_V8_FLAGS" -A \
  tests/bench/wide_service.ts --bpffs "$directory/bpf/proxy" --cgroup "$directory/cgroup/$name" "$@"
