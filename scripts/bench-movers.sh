#!/bin/bash
# Compares ways to move the bytes of a relay: copy, splice and sockmap, in a relay in C, beside HAProxy and a direct
# connection.
#   scripts/bench-movers.sh [--rounds N] [--seconds N]
# Defaults: 5 rounds, 2 s per measurement.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
source scripts/env.sh
deno run --quiet --cached-only -A tests/bench/userspace/movers.ts "$@"
