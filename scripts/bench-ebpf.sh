#!/bin/bash
# Measures mode ebpf: the time to fill the maps, the time of one change, the memory of the maps, and connect()
# through a ClusterIP.
#   scripts/bench-ebpf.sh [--services N] [--endpoints N] [--changes N] [--rounds N]
# Defaults: 30000 services, 10 endpoints per service, 2000 changes, 5 rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
scripts/bpf.sh
source scripts/bench-sandbox.sh

measure() { deno run --quiet --cached-only --v8-flags="$PROXY_V8_FLAGS" -A "$@"; }
export -f measure
ip netns exec "$name" bash -c 'measure "$@"' measure tests/bench/ebpf/maps.ts \
  --bpffs "$directory/bpf/proxy" --cgroup "$directory/cgroup/$name" "$@"
measure tests/bench/ebpf/connect.ts
