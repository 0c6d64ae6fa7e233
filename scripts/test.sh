#!/bin/bash
# Everything CI runs, or a part of it:
#   scripts/test.sh [all|check|unit|integration|conformance|vm|vm-all] [FILTER]
# FILTER names tests to run, as `deno test --filter` takes it. Integration and conformance need root: they make
# network namespaces, and remove them again. vm: mode ipvs and some of the others in other kernels, in emulated
# machines; with PROXY_SKIP_VM=yes all goes without. vm-all, which is no part of all: every mode in kernel 6.1,
# and the programs of mode ebpf in both.
# Ends with the line "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

# Nothing here asks, and what inherits a closed standard input takes the next file it opens for it.
exec </dev/null

passed=0 failed=0

main() {
  local suite=${1:-all}
  filter=${2:-}
  case $suite in
    all) suites=(check unit integration conformance); [ -n "${PROXY_SKIP_VM:-}" ] || suites+=(vm) ;;
    check | unit | integration | conformance | vm | vm-all) suites=("$suite") ;;
    *) echo "test: no suite is called $suite: name all, check, unit, integration, conformance, vm or vm-all" >&2; exit 2 ;;
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

unit() { deno_test unit --parallel tests/core tests/backends tests/ffi tests/oracle; }

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

# What this kernel cannot show. One machine is one processor's work, so there are two at a time.
vm() {
  machines || return
  {
    machine "ipvs IPv4" 6.1 ipvs "${filter:-$ipv4}"
    machine "ebpf" 6.1 ebpf "${filter:-$of_sockets_and_flows}"
    machine "programs 6.12" 6.12 programs "${filter:-$of_kernels}"
  } &
  local lane=$!
  machine "kernel" 6.1 kernel "$filter"
  machine "ipvs IPv6" 6.1 ipvs "${filter:-$sample}"
  machine "programs" 6.1 programs "${filter:-$of_kernels}"
  machine "smoke" 6.12 smoke
  wait $lane
  count_machines
}

vm-all() {
  machines || return
  local mode
  for mode in nftables iptables ipvs ebpf; do
    machine "$mode IPv4" 6.1 "$mode" "${filter:-$ipv4}" &
    machine "$mode IPv6" 6.1 "$mode" "${filter:-$others}"
    wait $!
  done
  machine "programs" 6.1 programs "$filter" &
  machine "programs 6.12" 6.12 programs "$filter"
  wait $!
  count_machines
}

# Scenarios are named after their families.
ipv4="/\\(IPv4\\)/" others="/\\((IPv6|dual stack)\\)/"
sample="/(hairpin|source ranges|NodePort|no endpoints).*\\(IPv6\\)/"
of_sockets_and_flows="/(restart|UDP flows|reaches itself|refuses).*\\(IPv6\\)/"
# Tests of mode ebpf's programs: what the verifier, devices, sockets and the file system of programs have to do with.
of_kernels="/verifier|Linux 6|device|packets$|cleanup|probe|a socket that connects|nobody serves|socket is ended|connections through/"

machines() {
  built vm || return
  local kernel
  for kernel in 6.1 6.12; do
    scripts/setup.sh vm && scripts/kernels.sh "$kernel" && continue
    echo "== vm FAILED: there is no machine to test in; PROXY_SKIP_VM=yes leaves it out"
    failed=$((failed + 1))
    return 1
  done
}

# Runs in the background too, so that it only notes what is to be counted.
machine() {
  local name=$1 log=$work/machine-${1// /-}
  shift
  echo "== in a machine, $name: scripts/vm.sh $*"
  PROXY_BINARY=$PWD/dist/proxy PROXY_VM_LIMIT=2400 scripts/vm.sh "$@" 2>&1 | tee "$log" | sed -u "s/^/[$name] /"
  echo "${PIPESTATUS[0]}" >"$log.status"
}

count_machines() {
  local log
  for log in "$work"/machine-*.status; do
    count "${log%.status}" "$(cat "$log")" "$(basename "${log%.status}")"
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

deno_test() {
  local name=$1
  shift
  echo "== $name: deno test $* ${filter:+--filter $filter}"
  deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} "$@" 2>&1 | tee "$work/log"
  count "$work/log" "${PIPESTATUS[0]}" "$name"
}

# Counts the tests of the summaries in a log. A suite that crashes, or that runs no tests though nothing filters them,
# has failed.
count() {
  local log=$1 status=$2 name=$3 ran lost
  read -r ran lost < <(
    sed -nE 's/^(ok|FAILED) \| ([0-9]+) passed( \([0-9]+ steps?\))? \| ([0-9]+) failed.*/\2 \4/p' "$log" |
      awk '{ ran += $1; lost += $2 } END { print ran + 0, lost + 0 }'
  )
  passed=$((passed + ran)) failed=$((failed + lost))
  if [ "$status" != 0 ] && [ "$lost" = 0 ]; then
    [ -n "$filter" ] && grep -q 'No test modules found\|No tests matched' "$log" && return
    echo "== $name FAILED: it ended with status $status before it could count"
    failed=$((failed + 1))
  elif [ -z "$filter" ] && [ "$ran" = 0 ] && [ "$lost" = 0 ]; then
    echo "== $name FAILED: it ran no tests"
    failed=$((failed + 1))
  fi
}

main "$@"
