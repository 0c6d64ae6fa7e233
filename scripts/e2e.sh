#!/bin/bash
# Runs Kubernetes' own end-to-end tests of the network on a cluster of scripts/cluster.sh.
#   scripts/e2e.sh MODE [FOCUS]
#       runs the tests whose names match FOCUS, a regular expression; default: all of [sig-network]. Uses the cluster
#       that runs, and deploys MODE in it; if none runs, starts one and ends it afterwards. The report is
#       dist/e2e/MODE/junit_01.xml
#   scripts/e2e.sh MODE --variant NAME,...
#       records named runs of scripts/cluster/e2e-variants.txt on new clusters, in dist/e2e/runs/NAME
#   scripts/e2e.sh all [MODE]...
#       records all variants of all modes (or of these), some at a time, and writes docs/e2e.md
#   scripts/e2e.sh report
#       writes docs/e2e.md from what is recorded
# MODE is what `scripts/cluster.sh up --mode` takes. Modes that need IPVS run in a machine of scripts/uml.sh if the
# kernel has none. Tests of scripts/cluster/e2e-skip.txt are left out. A test of a named run that fails without an
# explanation in scripts/cluster/e2e-explanations.txt is repeated alone. Fails if tests fail; named runs, if one has no
# explanation.
#   E2E_NODES       number of nodes of a cluster that is started for MODE [FOCUS] (default: 3)
#   E2E_PROCESSES   number of tests that run at a time (default: 4; for named runs 8)
#   E2E_ATTEMPTS    how often a test runs until it passes (default: once)
#   E2E_LIMIT       time limit of a run (default: 60m)
#   E2E_CLUSTERS    number of clusters that `all` runs at a time (default: 2); each needs 4 GB of memory
set -euo pipefail
cd "$(dirname "$0")/.."
usage=$(sed -n '3,12s/^# \{0,3\}//p' "$0")
. scripts/cluster/settings.sh

# Process of the load balancer, and whether this script has started the cluster.
balancer='' started=''
# What the tests are told about the cluster: "local" has nodes to log in to.
provider=skeleton

main() {
  case ${1:-} in
    ipvs | kube-proxy:ipvs) has_ipvs || in_machine "$@" ;;
  esac
  case ${1:-} in
    all) shift && record_all "$@" ;;
    report) [ $# = 1 ] || misused; write_page ;;
    '' | -*) misused ;;
    *)
      case ${2:-} in
        --variant) [ $# = 3 ] || misused; record "$1" "$3" ;;
        -*) misused ;;
        *) [ $# -le 2 ] || misused; try "$1" "${2:-\\[sig-network\\]}" ;;
      esac ;;
  esac
}

has_ipvs() { modprobe --quiet ip_vs 2>/dev/null || [ -e /proc/net/ip_vs ]; }

# Goes on in a machine whose kernel has IPVS. It has no network, so everything is built before.
in_machine() {
  scripts/setup.sh cluster
  scripts/peers.sh cluster
  scripts/cluster/images.sh
  scripts/build.sh
  exec scripts/uml.sh scripts/e2e.sh "$@"
}

misused() {
  echo "$usage" >&2
  exit 2
}

# Runs tests on the cluster that runs, or on a new one.
try() {
  local mode=$1 status=0
  scripts/peers.sh cluster
  trap end EXIT
  if [ -e "$state/run/kubeconfig" ]; then
    scripts/cluster.sh deploy "$mode"
  else
    started=yes
    scripts/cluster.sh up --mode "$mode" --nodes "${E2E_NODES:-3}"
  fi
  start_load_balancer
  run_tests "$PWD/dist/e2e/${mode/:/-}" "$2" "$(skipped)" "${E2E_PROCESSES:-4}" || status=$?
  return $status
}

# Records variants of a mode. Those with the same nodes and families share a cluster.
#   record MODE VARIANT,...
record() {
  local mode=$1 names wanted nodes families focus skip shape='' lacking=''
  IFS=, read -ra names <<<"$2"
  for wanted in "${names[@]}"; do
    [ "$(variant "$wanted")" ] || fail "unknown variant $wanted: must be one of $(variants | cut -f1 | paste -sd ' ')"
  done
  scripts/peers.sh cluster
  trap end EXIT
  for wanted in "${names[@]}"; do
    IFS=$'\t' read -r _ nodes families focus skip _ < <(variant "$wanted")
    PROXY_CONFIGURATION=$(configuration "$wanted" "$mode")
    export PROXY_CONFIGURATION
    if [ "$shape" != "$nodes $families" ]; then
      end
      started=yes shape="$nodes $families"
      scripts/cluster.sh up --mode "$mode" --nodes "$nodes" --families "$families"
      start_load_balancer
    else
      scripts/cluster.sh deploy "$mode"
    fi
    [ "$skip" != - ] || skip=
    record_variant "$mode" "$wanted" "$focus" "$(skipped)${skip:+|$skip}" || lacking=yes
  done
  [ -z "$lacking" ]
}

# Runs a variant and stores what it was run with.
#   record_variant MODE VARIANT FOCUS SKIP
record_variant() {
  local mode=$1 variant=$2 subject dir began=$SECONDS processes=${E2E_PROCESSES:-8} again
  subject=$(subject "$mode")
  dir=$PWD/dist/e2e/runs/$variant/${subject/ /-}
  provider=skeleton
  if [ "$variant" = disruptive ]; then
    processes=1 provider=local
    start_ssh
  fi
  run_tests "$dir" "$3" "$4" "$processes" || true
  deno eval 'console.log(JSON.stringify(Object.fromEntries(Deno.args.map((a) => a.split("=", 2)))))' -- \
    "variant=$variant" "subject=$subject" "commit=$(commit)" "kernel=$(uname -r)" "kubernetes=$kubernetes_version" \
    "containerd=$(cut -d' ' -f2 "$peers/containerd.version")" "processes=$processes" "seconds=$((SECONDS - began))" >"$dir/run.json"
  again=$(page failed "$variant" "$subject")
  if [ "$again" ]; then
    echo "e2e: $variant, $subject: repeating what failed"
    run_tests "$dir/again" "$again" "$4" 1 || true
  fi
  page "$variant" "$subject"
}

# Records everything, each mode in a cluster with a name of its own, and writes the page.
record_all() {
  local mode names lanes=${E2E_CLUSTERS:-2} number=0 status=0
  [ $# -gt 0 ] || set -- nftables iptables ebpf kube-proxy kube-proxy:iptables
  names=$(variants | cut -f1 | paste -sd ,)
  # What the clusters share is made once, before they start.
  scripts/setup.sh cluster
  scripts/peers.sh cluster
  scripts/build.sh
  scripts/image.sh "$proxy_image"
  mkdir -p dist/e2e
  for mode; do
    while [ "$(jobs -rp | wc -l)" -ge "$lanes" ]; do wait -n || status=1; done
    echo "e2e: $mode: log in dist/e2e/${mode/:/-}.log"
    number=$((number + 1))
    PROXY_CLUSTER=e2e-$number scripts/e2e.sh "$mode" --variant "$names" >"dist/e2e/${mode/:/-}.log" 2>&1 &
  done
  while [ "$(jobs -rp)" ]; do wait -n || status=1; done
  write_page || status=1
  return $status
}

write_page() {
  page && echo "e2e: docs/e2e.md is written"
}

page() { deno run --allow-read --allow-write --no-check tests/e2e/page/document.ts "$@"; }

# Runs tests, and writes their report to a directory.
#   run_tests DIRECTORY FOCUS SKIP PROCESSES
run_tests() {
  local report=$1 status=0
  families=$(cat "$state/run/families")
  rm -rf "$report"
  mkdir -p "$report"
  # The variables of an HTTP proxy would apply to the addresses of the cluster.
  ip netns exec "$control" env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY \
    PATH="$peers:$PATH" KUBECACHEDIR="$state/run/kubectl-cache" KUBE_SSH_KEY_PATH="$state/run/ssh/id" KUBE_SSH_USER=root \
    "$peers/ginkgo" --procs="$4" --no-color --silence-skips --fail-on-empty --timeout="${E2E_LIMIT:-60m}" --poll-progress-after=0 \
    --flake-attempts="${E2E_ATTEMPTS:-1}" \
    --focus="$2" --skip="$3" "$peers/e2e.test" -- \
    --provider="$provider" --kubeconfig="$state/run/kubeconfig" --num-nodes="$(nodes | wc -l)" \
    --kubectl-path="$peers/kubectl" --report-dir="$report" --e2e-output-dir="$report" \
    --cluster-ip-range="$(cluster_range | cut -d, -f1)" --disable-log-dump --dump-logs-on-failure=false || status=$?
  echo "e2e: the report is in $report"
  return $status
}

end() {
  [ -z "$balancer" ] || kill "$balancer" 2>/dev/null || true
  balancer=
  [ -z "$started" ] || scripts/cluster.sh down
  started=
}

# Prints the columns of scripts/cluster/e2e-variants.txt, separated by tabs.
variants() { sed -E '/^(#|$)/d; s/ {2,}/\t/g' scripts/cluster/e2e-variants.txt; }

variant() { variants | awk -F '\t' -v name="$1" '$1 == name'; }

# Name of a mode in docs/e2e.md.
subject() {
  case $1 in
    kube-proxy) echo "kube-proxy nftables" ;;
    *) echo "${1/:/ }" ;;
  esac
}

# Prints what a variant adds to the configuration of the proxy. Mode iptables has localhost node ports by default.
configuration() {
  [[ $1 = localhost && $2 != *iptables ]] || return 0
  echo "featureGates: { KubeProxyNFTablesLocalhostNodePorts: true }"
  echo "nodePortAddresses: [primary, localhost]"
}

# Prints the commit that the sources of the binary are of, with + if they were changed since.
commit() {
  local sources=(main.ts core backends ffi deno.lock scripts/build.sh)
  git log -1 --format=%h -- "${sources[@]}" | tr -d '\n'
  git diff --quiet HEAD -- "${sources[@]}" || echo -n +
}

# Prints one regular expression for all tests that are left out.
skipped() {
  sed -E '/^#/d; s/ {2,}.*//' scripts/cluster/e2e-skip.txt |
    if has_sctp; then grep -v SCTP; else cat; fi | paste -sd '|'
}

has_sctp() { python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)' 2>/dev/null; }

# Starts an SSH server in each node, for tests that log in to delete rules. Only the nodes see its key and the home
# directory of root that it uses.
start_ssh() {
  local home=$state/run/ssh name
  [ ! -e "$home" ] || return 0
  mkdir -p "$home/.ssh"
  dropbearkey -t ecdsa -f "$home/key" >/dev/null 2>&1
  dropbearconvert dropbear openssh "$home/key" "$home/id" 2>/dev/null
  dropbearkey -y -f "$home/key" | grep ^ecdsa >"$home/.ssh/authorized_keys"
  # Root needs no sudo, which the tests call.
  echo 'sudo() { "$@"; }' >"$home/.bashrc"
  sed "s#^root:.*#root:x:0:0:root:$home:/bin/bash#" /etc/passwd >"$home/passwd"
  for name in $(nodes); do
    in_node "$name" mount --bind "$home/passwd" /etc/passwd
    in_node "$name" dropbear -r "$home/key" -s -p 22
  done
}

start_load_balancer() {
  families=$(cat "$state/run/families")
  # Packets to a balancer without healthy nodes are lost, as if sent to a neighbour that nobody is. The source
  # address is outside the range of the nodes, as a client's in front of a real cluster.
  ip -n "$control" address replace 203.0.113.1/32 dev lo
  ip -n "$control" address replace 2001:db8::1/128 dev lo nodad
  ip -n "$control" neighbour replace 192.168.89.250 lladdr 02:00:00:00:00:01 dev nodes nud permanent
  ip -n "$control" neighbour replace fd00:10:89::fa lladdr 02:00:00:00:00:01 dev nodes nud permanent
  ip -n "$control" route replace 192.168.90.0/24 via 192.168.89.250 src 203.0.113.1
  ip -n "$control" route replace fd00:10:89:1::/64 via fd00:10:89::fa src 2001:db8::1
  ip netns exec "$control" sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1
  ip netns exec "$control" env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY \
    deno run --quiet --no-check --allow-all scripts/cluster/load_balancer.ts "$(api_url)" "$state/run/ca.crt" \
    "$state/run/admin.token" >>"$state/log/load-balancer.log" 2>&1 &
  balancer=$!
}

main "$@"
