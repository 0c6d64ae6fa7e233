#!/bin/bash
# Everything CI runs, or a part of it:
#   scripts/test.sh [all|check|unit|integration|conformance|vm] [FILTER]
# FILTER names tests to run, as `deno test --filter` takes it. Integration and conformance need root: they make
# network namespaces, and remove them again. vm is not part of all: the modes in another kernel, which takes a quarter
# of an hour. Ends with the line "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

# Nothing here asks, and what inherits a closed standard input takes the next file it opens for it.
exec </dev/null

passed=0 failed=0

main() {
  local suite=${1:-all}
  filter=${2:-}
  case $suite in
    all) suites=(check unit integration conformance) ;;
    check | unit | integration | conformance | vm) suites=("$suite") ;;
    *) echo "test: no suite is called $suite: name all, check, unit, integration, conformance or vm" >&2; exit 2 ;;
  esac
  scripts/setup.sh || exit 1
  . scripts/env.sh
  export NO_COLOR=1
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT

  for suite in "${suites[@]}"; do
    "$suite"
  done
  if [ $((passed + failed)) = 0 ]; then
    echo "test: nothing was run${filter:+: no test has $filter in its name}"
    failed=1
  fi
  echo "$passed passed, $failed failed"
  [ $failed = 0 ]
}

check() {
  [ -z "$filter" ] || [ ${#suites[@]} = 1 ] || return 0
  step "formatting" deno fmt --check --quiet
  step "lint" deno lint --quiet
  step "types" deno check --quiet .
}

unit() { deno_test unit --parallel tests/core tests/backends tests/ffi; }

integration() {
  built integration || return
  # Some minutes on a fresh machine; without them the tests that need a real API server would be left out.
  if ! scripts/peers.sh; then
    echo "== integration FAILED: there is no control plane to test with"
    failed=$((failed + 1))
  fi
  deno_test integration tests/lab tests/integration
  [ -n "$filter" ] || step demo scripts/demo.sh
}

# In every mode, or in that of PROXY_MODE.
conformance() {
  built conformance || return
  local mode
  for mode in ${PROXY_MODE:-nftables iptables ebpf}; do
    PROXY_MODE=$mode deno_test "conformance in mode $mode" tests/conformance
  done
}

# Each step counts as one test. One family: the other is held to the same scenarios here, in this kernel.
vm() {
  step "smoke in kernel 6.12" scripts/vm.sh 6.12 smoke
  local mode
  for mode in ${PROXY_MODE:-nftables iptables}; do
    step "mode $mode in kernel 6.1" scripts/vm.sh 6.1 "$mode" "${filter:-(IPv4)}"
  done
}

# A command that counts as one test. A tool that crashes (deno 2.6.10 lint does, once in some dozen runs) has found
# nothing and is asked once more.
step() {
  local name=$1 status=0
  shift
  echo "== $name: $*"
  "$@" || status=$?
  if [ $status -gt 128 ]; then
    echo "== $name: ended by signal $((status - 128)), again"
    status=0
    "$@" || status=$?
  fi
  if [ $status = 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "== $name FAILED"
    return 1
  fi
}

# What a suite needs that runs the binary in network namespaces.
built() {
  if [ "$(id -u)" != 0 ]; then
    echo "== $1 FAILED: needs root, to make network namespaces"
  elif ! scripts/build.sh; then
    echo "== $1 FAILED: there is nothing to test"
  else
    return 0
  fi
  failed=$((failed + 1))
  return 1
}

# Counts the tests of the summary. A suite that crashes, or that runs no tests though nothing filters them, has failed.
deno_test() {
  local name=$1 status ran lost summary
  shift
  echo "== $name: deno test $* ${filter:+--filter $filter}"
  deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} "$@" 2>&1 | tee "$work/log"
  status=${PIPESTATUS[0]}
  summary=$(grep -E '^(ok|FAILED) \| [0-9]+ passed' "$work/log" | tail -n 1)
  ran=$(sed -E 's/.*\| ([0-9]+) passed.*/\1/' <<<"$summary")
  lost=$(sed -E 's/.*\| ([0-9]+) failed.*/\1/' <<<"$summary")
  passed=$((passed + ${ran:-0})) failed=$((failed + ${lost:-0}))
  if [ "$status" != 0 ] && [ "${lost:-0}" = 0 ]; then
    [ -n "$filter" ] && grep -q 'No test modules found\|No tests matched' "$work/log" && return
    echo "== $name FAILED: it ended with status $status before it could count"
    failed=$((failed + 1))
  elif [ -z "$filter" ] && [ "${ran:-0}" = 0 ] && [ "${lost:-0}" = 0 ]; then
    echo "== $name FAILED: it ran no tests"
    failed=$((failed + 1))
  fi
}

main "$@"
