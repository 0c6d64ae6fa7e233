#!/bin/bash
# Runs Kubernetes' own end-to-end tests of the network on a cluster of scripts/cluster.sh.
#   scripts/e2e.sh MODE [FOCUS]
# MODE is what `scripts/cluster.sh up --mode` takes. Uses the cluster that runs, and deploys MODE in it; if none
# runs, starts one and ends it afterwards. FOCUS is a regular expression for names of tests; default: all of
# [sig-network] except those of scripts/cluster/e2e-skip.txt. The report is dist/e2e/MODE/junit_01.xml.
#   E2E_PROCESSES   number of tests that run at a time (default: 4)
#   E2E_LIMIT       time limit of all tests (default: 60m)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster/settings.sh

# Process of the load balancer, and whether this script has started the cluster.
balancer='' started=''

main() {
  [ $# = 1 ] || [ $# = 2 ] || { sed -n '3s/^# */usage: /p' "$0" >&2; exit 2; }
  local mode=$1 focus=${2:-\\[sig-network\\]} status=0
  local report=$PWD/dist/e2e/${mode/:/-}
  scripts/peers.sh cluster
  trap 'end' EXIT
  if [ -e "$state/run/kubeconfig" ]; then
    scripts/cluster.sh deploy "$mode"
  else
    started=yes
    scripts/cluster.sh up --mode "$mode"
  fi
  families=$(cat "$state/run/families")
  start_load_balancer

  rm -rf "$report"
  mkdir -p "$report"
  # The variables of an HTTP proxy would apply to the addresses of the cluster.
  ip netns exec $control env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY \
    PATH="$peers:$PATH" KUBECACHEDIR="$state/run/kubectl-cache" \
    "$peers/ginkgo" --procs="${E2E_PROCESSES:-4}" --no-color --silence-skips --fail-on-empty --timeout="${E2E_LIMIT:-60m}" --poll-progress-after=0 \
    --focus="$focus" --skip="$(skipped)" "$peers/e2e.test" -- \
    --provider=skeleton --kubeconfig="$state/run/kubeconfig" --num-nodes="$(nodes | wc -l)" \
    --kubectl-path="$peers/kubectl" --report-dir="$report" --e2e-output-dir="$report" \
    --cluster-ip-range="$(cluster_range | cut -d, -f1)" --disable-log-dump --dump-logs-on-failure=false || status=$?
  echo "e2e: $mode: the report is in $report"
  return $status
}

end() {
  [ -z "$balancer" ] || kill "$balancer" 2>/dev/null || true
  [ -z "$started" ] || scripts/cluster.sh down
}

# Prints one regular expression for all tests that are left out.
skipped() { sed -E '/^#/d; s/ {2,}.*//' scripts/cluster/e2e-skip.txt | paste -sd '|'; }

start_load_balancer() {
  # Packets to a balancer without healthy nodes are lost, as if sent to a neighbour that nobody is. The source
  # address is outside the range of the nodes, as a client's in front of a real cluster.
  ip -n $control address replace 203.0.113.1/32 dev lo
  ip -n $control neighbour replace 192.168.89.250 lladdr 02:00:00:00:00:01 dev nodes nud permanent
  ip -n $control route replace 192.168.90.0/24 via 192.168.89.250 src 203.0.113.1
  ip netns exec $control sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1
  ip netns exec $control env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY \
    deno run --quiet --no-check --allow-all scripts/cluster/load_balancer.ts "$(api_url)" "$state/run/ca.crt" \
    "$state/run/admin.token" >>"$state/log/load-balancer.log" 2>&1 &
  balancer=$!
}

main "$@"
