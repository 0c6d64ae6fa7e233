#!/bin/bash
# Measures mode userspace beside HAProxy and direct connections: throughput, new connections, and memory.
#   scripts/bench-userspace.sh [--rounds N] [--seconds N] [--services N] [--idle N] [--only throughput,connections,memory]
# Defaults: 5 rounds, 2 s per measurement, 10000 services, 10000 idle connections, everything.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
scripts/build.sh
deno run --quiet --cached-only -A tests/bench/userspace/userspace.ts --proxy "${PROXY_BINARY:-dist/proxy}" "$@"
