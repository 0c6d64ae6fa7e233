#!/bin/bash
# Runs everything that CI runs, or one suite of it.
#   scripts/test.sh [all|check|unit|integration|page|conformance|adversarial|e2e|e2e-all|cluster|vm|vm-all|vm-arm64] [FILTER]
# FILTER selects tests by name, as `deno test --filter` does.
#   all          check, unit, integration, page, conformance, adversarial, e2e and vm; without vm if PROXY_SKIP_VM=yes,
#                without e2e if PROXY_SKIP_E2E=yes
#   check        formatting, lint and types
#   unit         tests that need neither root nor network
#   integration  tests in network namespaces, and the demo; needs root
#   page         the page of the running proxy in Chromium, which scripts/setup.sh page installs; needs root
#   conformance  the scenarios of tests/conformance in network namespaces; needs root
#   adversarial  attacks on a node in mode ebpf and on one in mode nftables; needs root
#   e2e          Kubernetes' Conformance tests of the network in mode nftables, in a cluster of scripts/cluster.sh;
#                needs root
#   e2e-all      Kubernetes' tests of the network in every mode and with kube-proxy, which writes docs/e2e.md, and
#                cluster; takes hours and is not part of all
#   cluster      tests/cluster, in clusters of scripts/cluster.sh; takes half an hour and is not part of all
#   vm           mode ipvs and a part of the others in other kernels, in emulated machines; needs root
#   vm-all       every mode in kernel 6.1, and the programs of mode ebpf in both kernels; not part of all
#   vm-arm64     on an emulated arm64: a scenario in every mode, the unit tests, and mode nftables with IPv4; takes hours
#                on a busy machine and is not part of all
# Failed tests that wait for other processes run once more; the result names them.
# The last line of the output is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

# Nothing reads standard input. It must be open, though: in a process that inherits it closed, the next file
# that it opens becomes its standard input.
exec </dev/null

passed=0 failed=0
# Processor of emulated machines and of the binary, if it is not that of this machine, and the time limit of a suite
# in an emulated machine, in seconds.
arch='' limit=2400
# Lines for the end of the output, where a reader looks first: failed tests, and those that passed when repeated.
report=()

main() {
  local suite=${1:-all}
  filter=${2:-}
  case $suite in
    all)
      suites=(check unit integration page conformance adversarial)
      [ -n "${PROXY_SKIP_E2E:-}" ] || suites+=(e2e)
      [ -n "${PROXY_SKIP_VM:-}" ] || suites+=(vm) ;;
    check | unit | integration | page | conformance | adversarial | e2e | e2e-all | cluster | vm | vm-all | vm-arm64) suites=("$suite") ;;
    *)
      echo "test: unknown suite $suite: must be all, check, unit, integration, page, conformance, adversarial, e2e, e2e-all, cluster, vm, vm-all or vm-arm64" >&2
      exit 2 ;;
  esac
  scripts/setup.sh || exit 1
  . scripts/env.sh
  export NO_COLOR=1
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # The proxy keeps its records of manifests there, so that tests leave nothing in /run/proxy.
  export RUNTIME_DIRECTORY=$work/run

  for suite in "${suites[@]}"; do
    "$suite"
  done
  if [ $((passed + failed)) = 0 ]; then
    fails "no test ran${filter:+: no test name contains $filter}"
  fi
  [ ${#report[@]} = 0 ] || printf '== %s\n' "${report[@]}"
  echo "$passed passed, $failed failed"
  [ $failed = 0 ]
}

# Counts a failure that is not in the summary of a test run, and reports it.
fails() {
  echo "== $1"
  report+=("$1")
  failed=$((failed + 1))
}

check() {
  [ -z "$filter" ] || [ ${#suites[@]} = 1 ] || return 0
  step "formatting" deno fmt --check --quiet
  step "lint" deno lint --quiet
  step "types" deno check --quiet .
  step "spelling" codespell
}

unit() { deno_test unit --parallel tests/core tests/backends tests/ffi tests/oracle tests/e2e; }

integration() {
  built integration || return
  # Takes some minutes on a new machine. Without these programs, tests that need a real API server would be
  # skipped.
  scripts/peers.sh etcd kube-apiserver kube-proxy kubectl helm ||
    fails "integration FAILED: scripts/peers.sh could not build the control plane and its clients"
  deno_test integration tests/lab tests/integration
  [ -n "$filter" ] || step demo scripts/demo.sh
}

page() {
  built page && scripts/setup.sh page || return
  deno_test page tests/page
}

# Runs the scenarios in every mode that any kernel has, or in mode PROXY_MODE. They wait for most of their time, so two
# modes run at a time.
conformance() {
  built conformance || return
  local modes=(${PROXY_MODE:-nftables ebpf iptables userspace}) mode
  {
    for mode in "${modes[@]:0:2}"; do scenarios "$mode"; done
  } &
  local lane=$!
  for mode in "${modes[@]:2}"; do scenarios "$mode"; done
  wait $lane
  for mode in "${modes[@]}"; do count_both "$work/conformance-$mode" "conformance in mode $mode"; done
}

scenarios() {
  PROXY_MODE=$1 try_tests "conformance in mode $1" "$work/conformance-$1" tests/conformance | sed -u "s/^/[$1] /"
}

adversarial() {
  is_root adversarial && deno_test adversarial tests/adversarial
}

# Runs Kubernetes' Conformance tests of the network. A filter for all suites leaves them out, because their names
# differ from those of the others.
e2e() {
  [ -z "$filter" ] || [ ${#suites[@]} = 1 ] || return 0
  built e2e && has_cluster e2e || return
  # Programs of the cluster, which live longer than this script when it is killed, must not hold the lock.
  E2E_ATTEMPTS=2 counted_e2e scripts/e2e.sh nftables "\\[sig-network\\].*${filter:-\\[Conformance\\]}" 9>&-
}

e2e-all() {
  built e2e-all && has_cluster e2e-all || return
  step "e2e in every mode" scripts/e2e.sh all 9>&-
  cluster
}

cluster() {
  built cluster && has_cluster cluster || return
  deno_test cluster tests/cluster 9>&-
}

# Makes sure that this machine can run a cluster, and that no other run has one.
has_cluster() {
  local said
  export PROXY_CLUSTER=proxy-test
  mkdir -p "$PROXY_CACHE"
  exec 9>"$PROXY_CACHE/proxy-test.lock"
  flock 9
  # Ends what an interrupted run has left.
  scripts/cluster.sh down 9>&-
  said=$(scripts/cluster.sh check 2>&1) && return
  if [ ${#suites[@]} = 1 ]; then
    fails "$1 FAILED: $said"
  else
    echo "== $1: $said"
    report+=("$1 NOT RUN: $said")
  fi
  return 1
}

# Counts the tests in the report of ginkgo.
counted_e2e() {
  local log=$work/e2e status ran lost test
  echo "== e2e: $*"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  read -r ran lost < <(sed -nE 's/.* -- ([0-9]+) Passed \| ([0-9]+) Failed.*/\1 \2/p' "$log" | awk '{ ran += $1; lost += $2 } END { print ran + 0, lost + 0 }')
  passed=$((passed + ran)) failed=$((failed + lost))
  while read -r test; do report+=("e2e FAILED: $test"); done < <(failures_of_ginkgo "$log" | sort -u)
  while read -r test; do report+=("e2e: passed only when repeated: $test"); done < <(sed -nE 's/.* ([0-9]+ Flaked).*/\1/p' "$log")
  [ "$status" = 0 ] || [ "$lost" -gt 0 ] || fails "e2e FAILED: it ended with status $status without a failed test"
}

# Prints the names of the failed tests in a report of ginkgo. Those that did not fail by an assertion keep their heading,
# such as [TIMEDOUT]. Before the summary, such headings are about parts of tests.
failures_of_ginkgo() {
  sed -nE '/^Summarizing [0-9]+ Failures?:/,/^Ran [0-9]+ of/ {
    s/^ *\[FAIL\] //p
    s/^ *(\[(TIMEDOUT|PANICKED!|INTERRUPTED|ABORTED)\] )/\1/p
  }' "$1"
}

# Runs what the kernel of this host cannot show. A machine occupies one processor, so two run at a time.
vm() {
  machines 6.1 6.12 || return
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
  machines 6.1 6.12 || return
  local mode
  for mode in nftables iptables ipvs ebpf userspace; do
    machine "$mode IPv4" 6.1 "$mode" "${filter:-$ipv4}" &
    machine "$mode IPv6" 6.1 "$mode" "${filter:-$others}"
    wait $!
  done
  machine "programs" 6.1 programs "$filter" &
  machine "programs 6.12" 6.12 programs "$filter"
  wait $!
  count_machines
}

# Runs what depends on the processor: the start of every mode, the code that calls C, and a sample of one mode.
vm-arm64() {
  local arch=arm64 limit=7200
  machines 6.1 || return
  machine "smoke" 6.1 smoke
  machine "unit" 6.1 unit "$filter"
  machine "nftables sample" 6.1 nftables "${filter:-$of_hairpins_and_rejections}"
  count_machines
}

# Filters for the families, which are part of the names of scenarios.
ipv4="/\\(IPv4\\)/" others="/\\((IPv6|dual stack)\\)/"
sample="/(hairpin|source ranges|NodePort|no endpoints).*\\(IPv6\\)/"
of_hairpins_and_rejections="/(hairpin|reaches itself|rejects).*\\(IPv4\\)/"
of_sockets_and_flows="/(restart|UDP flows|reaches itself|rejects).*\\(IPv6\\)/"
# Tests of mode ebpf whose outcome depends on the kernel: the verifier, devices, sockets and the BPF file
# system.
of_kernels="/verifier|Linux 6|device|packets$|cleanup|probe|a socket that connects|without endpoints rejects|socket is ended|connections through/"

# Prepares machines with these kernels and the processor `arch`, which is that of this machine unless a suite sets it.
machines() {
  built "$suite" || return
  local kernel
  for kernel; do
    scripts/setup.sh "vm${arch:+-$arch}" && scripts/kernels.sh ${arch:+--arch "$arch"} "$kernel" && continue
    fails "$suite FAILED: the virtual machine could not be prepared; PROXY_SKIP_VM=yes skips this suite"
    return 1
  done
}

# Runs a suite in a machine, and repeats what failed once in another one: an emulated processor on a busy host can miss
# any time limit. May run in the background, so it stores its results in files for count_machines.
machine() {
  local name=$1 log=$work/machine-${1// /-} kernel=$2 suite=$3
  boot_machine "$name" "$log" "$kernel" "$suite" "${4:-}" && return
  filter_of_failures "$log" >"$log.filter" || return
  # The suite smoke takes no filter.
  [ "$suite" != smoke ] || : >"$log.filter"
  echo "== virtual machine $name: trying again what failed"
  boot_machine "$name" "$log.again" "$kernel" "$suite" "$(cat "$log.filter")"
}

boot_machine() {
  local name=$1 log=$2
  shift 2
  set -- ${arch:+--arch "$arch"} "$@"
  echo "== virtual machine $name: scripts/vm.sh $*"
  PROXY_BINARY=$PWD/dist/proxy${arch:+-$arch} PROXY_VM_LIMIT=$limit scripts/vm.sh "$@" 2>&1 | tee "$log" | sed -u "s/^/[$name] /"
  echo "${PIPESTATUS[0]}" >"$log.status"
  [ "$(cat "$log.status")" = 0 ]
}

# Prints a filter for the failed tests in a log, or nothing to repeat all if the suite ended before its summary. Fails
# if too much failed for chance, or took too long to repeat.
filter_of_failures() {
  local count
  count=$(failures "$1" | wc -l)
  if [ "$count" -gt 0 ]; then
    [ "$count" -le 5 ] || return
    # Escapes what has a meaning in a regular expression.
    failures "$1" | sed 's/[][\\/.*^$+?(){}|]/\\&/g' | paste -sd '|' | sed 's/.*/\/^(&)$\//'
  else
    # The last line of scripts/vm.sh ends "after N s".
    [ "$(sed -nE '$s/.* after ([0-9]+) s$/\1/p' "$1")" -lt 600 ] 2>/dev/null
  fi
}

# Prints the names of the failed tests in a log of `deno test`.
failures() { sed -nE '/^ FAILURES ?$/,$s/^(.*) => \.\/.*_test\.ts:[0-9]+:[0-9]+$/\1/p' "$1" | sed 's/ \.\.\. .*//' | sort -u; }

count_machines() {
  local log
  for log in "$work"/machine-*.status; do
    log=${log%.status}
    [[ $log = *.again ]] || count_both "$log" "$(basename "$log")"
  done
}

# Runs a command that counts as one test. A tool that crashes has found nothing and runs once more, because
# deno 2.6.10 lint crashes about once in a dozen runs.
step() {
  local name=$1 status=0
  shift
  echo "== $name: $*"
  "$@" || status=$?
  if [ $status -gt 128 ]; then
    echo "== $name: ended by signal $((status - 128)), trying again"
    status=0
    "$@" || status=$?
  fi
  if [ $status != 0 ]; then
    fails "$name FAILED"
    return 1
  fi
  passed=$((passed + 1))
}

# Builds the binary for a suite that runs it in network namespaces, which takes root.
built() {
  is_root "$1" || return
  scripts/build.sh ${arch:+--arch "$arch"} && return
  fails "$1 FAILED: scripts/build.sh could not build dist/proxy${arch:+-$arch}"
  return 1
}

# Makes sure that a suite can create network namespaces.
is_root() {
  [ "$(id -u)" != 0 ] || return 0
  fails "$1 FAILED: must run as root, because it creates network namespaces"
  return 1
}

deno_test() {
  local name=$1 log=$work/log
  shift
  rm -f "$log"*
  try_tests "$name" "$log" "$@"
  count_both "$log" "$name"
}

# Runs tests, and repeats those that failed once. May run in the background, so it stores its results in files for
# count_both.
#   try_tests NAME LOG [ARGUMENT]...
try_tests() {
  local name=$1 log=$2
  shift 2
  echo "== $name: deno test $* ${filter:+--filter $filter}"
  run_tests "$log" "$filter" "$@" || {
    # A failed unit test or property is a finding. What waits for other processes can also miss a time limit.
    [ "$name" != unit ] && filter_of_failures "$log" >"$log.filter" && [ -s "$log.filter" ] &&
      echo "== $name: trying again what failed" && run_tests "$log.again" "$(cat "$log.filter")" "$@"
  }
}

run_tests() {
  local log=$1 filter=$2
  shift 2
  deno test --allow-all --quiet --no-check ${filter:+--filter "$filter"} "$@" 2>&1 | tee "$log"
  echo "${PIPESTATUS[0]}" >"$log.status"
  [ "$(cat "$log.status")" = 0 ]
}

# Counts a run, together with the run that repeated its failures.
count_both() {
  local log=$1 name=$2
  if ! passed_again "$log"; then
    count "$log" "$(cat "$log.status")" "$name"
    return
  fi
  report+=("$name: passed only when repeated: $(failures "$log" | paste -sd ';' | grep . || echo "all of it")")
  report_reasons "$log"
  # Tests that passed in the first run, if not all were repeated, and those of the second.
  [ ! -s "$log.filter" ] || sed -E 's/^FAILED (\|.*\|) [0-9]+ failed/ok \1 0 failed/; s/^ FAILURES/ REPEATED/' "$log" >"$log.both"
  cat "$log.again" >>"$log.both"
  count "$log.both" 0 "$name"
}

# Reports the first line of each error in a log of `deno test`, and in that of the run that repeated its failures.
report_reasons() {
  local reason
  while read -r reason; do report+=("  $reason"); done < <(
    cat "$1" "$1.again" 2>/dev/null | sed -nE '/^ ERRORS ?$/,/^ FAILURES ?$/s/^ *error: (.{1,300}).*/\1/p' | head -20
  )
}

# Reports whether all failures of a run passed in a second one. A test with a random seed in its name is not found again.
passed_again() {
  [ "$(cat "$1.again.status" 2>/dev/null)" = 0 ] || return
  [ ! -s "$1.filter" ] || [ "$(summary "$1.again" | cut -d' ' -f1)" -ge "$(failures "$1" | wc -l)" ]
}

# Prints the numbers of passed and of failed tests in a log.
summary() {
  sed -nE 's/^(ok|FAILED) \| ([0-9]+) passed( \([0-9]+ steps?\))? \| ([0-9]+) failed.*/\2 \4/p' "$1" |
    awk '{ ran += $1; lost += $2 } END { print ran + 0, lost + 0 }'
}

# Adds up the test summaries in a log. A suite fails if it crashes, or if it runs no tests although there is
# no filter.
count() {
  local log=$1 status=$2 name=$3 ran lost test
  read -r ran lost < <(summary "$log")
  passed=$((passed + ran)) failed=$((failed + lost))
  while read -r test; do report+=("$name FAILED: $test"); done < <(failures "$log")
  [ "$lost" = 0 ] || report_reasons "$log"
  if [ "$status" != 0 ] && [ "$lost" = 0 ]; then
    [ -n "$filter" ] && grep -q 'No test modules found\|No tests matched' "$log" && return
    fails "$name FAILED: it ended with status $status before its summary"
  elif [ -z "$filter" ] && [ "$ran" = 0 ] && [ "$lost" = 0 ]; then
    fails "$name FAILED: it ran no tests"
  fi
}

main "$@"
