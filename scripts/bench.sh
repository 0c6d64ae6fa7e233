#!/bin/bash
# Measures programming speed and memory of a mode in a network namespace of its own.
#   scripts/bench.sh [--mode nftables|iptables|ipvs] [--services N] [--endpoints N] [--changes N] [--rounds N] [--backend-only]
# default nftables 10000 10 500 5; 50 changes in mode iptables. Mode ipvs needs a kernel that has it: scripts/bench-ipvs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
scripts/build.sh

namespace=proxy-bench-$$
ip netns add "$namespace"
trap 'ip netns del "$namespace"' EXIT
ip -n "$namespace" link set lo up
ip netns exec "$namespace" deno run --quiet --cached-only --v8-flags="$PROXY_V8_FLAGS" -A tests/bench/run.ts \
  --proxy "${PROXY_BINARY:-dist/proxy}" "$@"
