#!/bin/bash
# Writes docs/adversarial.md: what attacks on a node achieve in mode ebpf and in mode nftables.
#   scripts/adversarial.sh [FILTER]
# FILTER selects attacks by name; the others keep their last recording (dist/adversarial.json). The page is written when
# every attack has one. Needs root. Fails if an attack achieves more in mode ebpf than in mode nftables without a reason
# in the page, which is written also then.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
. scripts/env.sh
export ADVERSARIAL_RECORD=yes NO_COLOR=1 RUNTIME_DIRECTORY=${RUNTIME_DIRECTORY:-/run/proxy-adversarial}
deno test --allow-all --quiet --no-check ${1:+--filter "$1"} tests/adversarial/adversarial_test.ts
