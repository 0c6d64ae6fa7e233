#!/bin/bash
# Measures what readers cost: changes of endpoints while nobody reads the status, and while a page is open,
# `proxy status --watch` runs and a scraper reads the metrics, all of them every 2 s.
#   scripts/bench-observed.sh [--services N] [--endpoints N] [--changes N] [--rounds N] [--pause SECONDS]
# Defaults: 10000 10 500 5 2. On a machine that other programs keep busy, let the benchmark preempt them:
#   chrt --rr 10 scripts/bench-observed.sh --readers-under "chrt --rr 1"
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
scripts/build.sh

namespace=proxy-bench-$$
ip netns add "$namespace"
trap 'ip netns del "$namespace"' EXIT
ip -n "$namespace" link set lo up
ip netns exec "$namespace" deno run --quiet --cached-only --v8-flags="$PROXY_V8_FLAGS" -A tests/bench/observed.ts "$@"
