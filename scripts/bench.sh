#!/bin/bash
# Measures the programming speed and memory of one mode, in a network namespace made for the measurement.
#   scripts/bench.sh [--mode nftables|iptables|ipvs] [--services N] [--endpoints N] [--changes N] [--rounds N]
#                    [--backend-only]
# Defaults: nftables 10000 10 500 5, with 50 changes in mode iptables. Mode ipvs needs a kernel with IPVS; if
# the host has none, use scripts/bench-ipvs.sh.
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
