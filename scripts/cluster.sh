#!/bin/bash
# Runs a real Kubernetes cluster in namespaces of this machine: etcd, kube-apiserver, kube-controller-manager and
# kube-scheduler, and nodes with containerd, runc, CNI plugins and kubelet. docs/cluster.md describes it.
#   scripts/cluster.sh up [--nodes N] [--mode MODE] [--families dual|ipv4|ipv6] [--cni bridge|ptp]
#       starts it, with 3 nodes and in mode nftables if nothing else is said. MODE is a mode of the proxy,
#       kube-proxy (kube-proxy:MODE for another mode than nftables), or none. --cni connects the pods of a node
#       by a bridge, or each by a device of its own
#   scripts/cluster.sh check [--nodes N]        says what this machine lacks to run it
#   scripts/cluster.sh deploy MODE              replaces what serves Services in a running cluster
#   scripts/cluster.sh kubectl ARGUMENT...      runs kubectl as an administrator
#   scripts/cluster.sh shell NODE [COMMAND...]  runs a command, or a shell, in node 1 to N, or in the control plane
#   scripts/cluster.sh stop PART                ends node 1 to N, as a power failure does, or a program of the control
#       plane, such as kube-apiserver
#   scripts/cluster.sh start PART               starts it again, with the data on its disk, and waits until it is ready
#   scripts/cluster.sh down                     ends it, also what an interrupted run has left
# PROXY_CONFIGURATION has lines to add to the KubeProxyConfiguration, for up and deploy. PROXY_CLUSTER is the name of
# the cluster (default: proxy): several can run at a time.
# Needs root. The first `up` builds everything, which takes half an hour on 2 cores; later ones take a minute.
set -euo pipefail
usage=$(sed -n '4,/cluster.sh down/s/^# \{0,3\}//p' "$0")
cd "$(dirname "$0")/.."
. scripts/cluster/settings.sh

programs=(
  etcd kube-apiserver kube-proxy kubelet kube-controller-manager kube-scheduler kubectl containerd
  containerd-shim-runc-v2 ctr coredns agnhost regression-issue-74839
)
# Everything that can run, also what an `up` with other arguments started.
parts=("$cluster-node-"{1..9} "$control")
control_plane=(etcd kube-apiserver kube-controller-manager kube-scheduler)

# Time limits are so many times as long in a machine that is slower than usual. tests/lab/pace.ts reads it, too.
slowness=${PROXY_SLOWNESS:-1}
slowness=${slowness%.*}

main() {
  local command=${1:-}
  shift || true
  case $command in
    up | check | down | deploy | kubectl | shell | stop | start) ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  [ "$(id -u)" = 0 ] || fail "must run as root, because it creates namespaces, mounts and cgroups"
  "$command" "$@"
}

up() {
  local count=3 mode=nftables cni=bridge began
  families="4 6"
  read_flags "$@"
  lock
  check_machine "$count"

  scripts/setup.sh cluster 9>&-
  scripts/peers.sh "${programs[@]}" 9>&-
  scripts/cluster/images.sh 9>&-
  prepare_image "$mode"

  began=$SECONDS
  trap 'give_up' EXIT
  rm -rf "$state/run" "$state/log" "$state/nodes"
  mkdir -p "$state/run" "$state/log"
  echo "$families" >"$state/run/families"
  echo "$cni" >"$state/run/cni"
  seq "$count" >"$state/run/numbers"
  say "network"
  start_network
  say "control plane"
  start_control_plane
  say "nodes: $count"
  start_nodes
  deploy_mode "$mode"
  start_dns "$mode"
  trap - EXIT
  say "ready in $((SECONDS - began)) s: $(kubectl get nodes --no-headers | wc -l) nodes, $mode. Try: scripts/cluster.sh kubectl get pods -A"
}

check() {
  local count=3 mode=nftables cni=bridge
  read_flags "$@"
  check_machine "$count"
  say "this machine can run $count nodes"
}

# Reads the flags of up into count, mode, families and cni.
read_flags() {
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
      --nodes) count=$2 ;;
      --mode) mode=$2 ;;
      --families)
        case $2 in
          dual) families="4 6" ;;
          ipv4) families=4 ;;
          ipv6) families=6 ;;
          *) fail "--families $2: must be dual, ipv4 or ipv6" ;;
        esac ;;
      --cni)
        [ "$2" = bridge ] || [ "$2" = ptp ] || fail "--cni $2: must be bridge or ptp"
        cni=$2 ;;
      *) fail "unknown flag $1: must be --nodes, --mode, --families or --cni" ;;
    esac
    shift 2
  done
  [[ $count =~ ^[1-9]$ ]] || fail "--nodes $count: must be 1 to 9"
  check_mode "$mode"
}

# Ends an `up` that failed. The logs stay.
give_up() {
  say "could not be started, ending what runs. Logs are in $state/log and $state/nodes" >&2
  end "${parts[@]}"
}

deploy() {
  [ $# = 1 ] || fail "deploy needs one mode"
  check_mode "$1"
  lock
  must_run
  prepare_image "$1"
  import_image "$1"
  deploy_mode "$1"
}

kubectl() {
  must_run
  ip netns exec $control env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY \
    KUBECACHEDIR="$state/run/kubectl-cache" "$peers/kubectl" --kubeconfig="$state/run/kubeconfig" "$@"
}

shell() {
  [ $# -ge 1 ] || fail "shell needs a node: $(nodes | sed "s/$cluster-node-//" | paste -sd ' '), or control"
  local name=$1
  shift
  [ $# -gt 0 ] || set -- bash
  if [ "$name" = control ]; then ip netns exec $control "$@"; else in_node "$(node "${name#"$cluster-node-"}")" "$@"; fi
}

down() {
  # Long enough for the programs of an `up` that was killed to end.
  lock 60
  [ -z "$(processes "${parts[@]}")" ] || say "ending $(nodes | wc -l) nodes and the control plane"
  end "${parts[@]}"
  rm -rf --one-file-system "$state/run" "$state/nodes"
}

stop() {
  must_be_part stop "$@"
  lock
  if is_program "$1"; then
    end_program "$1"
  else
    # The others must not see connections being closed by the programs that end.
    ip -n $control link delete "node$1" 2>/dev/null || true
    end "$(node "$1")"
  fi
}

start() {
  must_be_part start "$@"
  lock
  if is_program "$1"; then
    [ -z "$(program_processes "$1")" ] || fail "$1 runs already: end it first: scripts/cluster.sh stop $1"
    launch "$1"
    wait_for "$1" 300 program_answers "$1"
  else
    [ ! -e "/run/netns/$(node "$1")" ] || fail "node $1 runs already: end it first: scripts/cluster.sh stop $1"
    start_node "$1"
    wait_for_containerd "$1"
    join_cluster "$1"
  fi
}

must_run() { [ -e "$state/run/kubeconfig" ] || fail "no cluster runs: scripts/cluster.sh up"; }

# Checks the arguments of the commands for parts of a cluster.
#   must_be_part COMMAND ARGUMENT...
must_be_part() {
  must_run
  if [ $# != 2 ] || ! { is_program "$2" || numbers | grep -qxF "$2"; }; then
    fail "$1 needs one part of the cluster: $(numbers | paste -sd ' ') ${control_plane[*]}"
  fi
}

is_program() { [[ " ${control_plane[*]} " = *" $1 "* ]]; }

# Numbers of the nodes of the cluster, also of those that were stopped.
numbers() { cat "$state/run/numbers"; }

# One instance at a time. Programs that may outlive this script close descriptor 9.
#   lock [SECONDS]      how long to wait for the other one
lock() {
  mkdir -p "$state"
  exec 9>"$state/.lock"
  flock --timeout "${1:-0}" 9 || fail "another scripts/cluster.sh is at work: wait until it ends"
}

check_mode() {
  case $1 in
    none | kube-proxy | kube-proxy:nftables | kube-proxy:iptables | kube-proxy:ipvs) ;;
    *) [[ $1 =~ ^[a-z]+$ && -d deploy/kubernetes/overlays/$1 ]] ||
      fail "unknown mode $1: must be one of $(ls -m deploy/kubernetes/overlays), kube-proxy, kube-proxy:MODE or none" ;;
  esac
}

check_machine() {
  local name path memory disk needed=$((1500 + 700 * $1))
  for name in $control $(nodes); do
    [ ! -e "/run/netns/$name" ] || fail "network namespace $name exists: a cluster runs, or left it: scripts/cluster.sh down"
  done
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  [ "$memory" -ge $needed ] || fail "--nodes $1 needs $needed MB of memory, and $memory MB are available: end other programs, or start fewer nodes (--nodes)"
  needed=$((2000 + 1200 * $1))
  [ -e "$archives/images.tar" ] || needed=$((needed + 8000))
  mkdir -p "$state"
  disk=$(df --output=avail -m "$state" | tail -n 1)
  [ "$disk" -ge $needed ] || fail "--nodes $1 needs $needed MB in $state, and ${disk// /} MB are free: free some, or set PROXY_CACHE to a larger disk"
  [ "$(hierarchies)" ] || fail "no cgroups are mounted below /sys/fs/cgroup: mount them, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
  while read -r path _; do
    mkdir "$path/$control" 2>/dev/null && rmdir "$path/$control" ||
      fail "cannot create cgroups in $path: it must be writable (in a container, that takes --privileged)"
  done < <(hierarchies)
  # Kubelet starts no pod without these. With version 1, each has a hierarchy of its own.
  if [ "$(hierarchies)" = "/sys/fs/cgroup 2" ]; then
    for name in cpu cpuset memory pids; do
      grep -qw $name /sys/fs/cgroup/cgroup.subtree_control ||
        fail "cgroups below /sys/fs/cgroup lack the controller $name: echo +$name >/sys/fs/cgroup/cgroup.subtree_control"
    done
  fi
}

prepare_image() {
  [[ $1 != none && $1 != kube-proxy* ]] || return 0
  scripts/build.sh 9>&-
  scripts/image.sh $proxy_image 9>&-
}

start_network() {
  local number
  ip netns add $control
  ip -n $control link set lo up
  ip -n $control link add nodes type bridge
  ip -n $control link set nodes up
  ip -n $control address add 192.168.89.1/24 dev nodes
  ip -n $control address add fd00:10:89::1/64 dev nodes nodad
  forward $control
  # The bridge carries packets between nodes, which the firewall of the control plane must not see.
  ip netns exec $control sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || true
  for number in $(numbers); do add_pod_routes $control "$number"; done
}

# Makes the network namespace of a node, and connects it.
connect_node() {
  local name number
  name=$(node "$1")
  ip netns add "$name"
  ip -n "$name" link set lo up
  ip -n $control link add "node$1" type veth peer name eth0 netns "$name"
  ip -n $control link set "node$1" master nodes up
  ip -n "$name" link set eth0 up
  ip -n "$name" address add "192.168.89.1$1/24" dev eth0
  ip -n "$name" address add "fd00:10:89::1$1/64" dev eth0 nodad
  ip -n "$name" route add default via 192.168.89.1
  ip -n "$name" route add default via fd00:10:89::1
  forward "$name"
  for number in $(numbers); do [ "$number" = "$1" ] || add_pod_routes "$name" "$number"; done
}

# Routes the pods of a node through that node.
#   add_pod_routes NAMESPACE NUMBER
add_pod_routes() {
  ip -n "$1" route add "10.244.$2.0/24" via "192.168.89.1$2"
  ip -n "$1" route add "fd00:10:244:$2::/64" via "fd00:10:89::1$2"
}

forward() { ip netns exec "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; }

start_control_plane() {
  local number name
  openssl genrsa -out "$state/run/sa.key" 2048 2>/dev/null
  new_user admin admin system:masters
  for number in $(numbers); do new_user "$(node "$number")" "system:node:$(node "$number")" system:nodes; done

  launch etcd
  launch kube-apiserver
  wait_for "the API server" 300 program_answers kube-apiserver
  # kube-apiserver writes two certificates to its certificate file: first its own, then that of its CA.
  awk '/BEGIN CERTIFICATE/ { n++ } n == 2' "$state/run/certificates/apiserver.crt" >"$state/run/ca.crt"
  write_kubeconfig admin "$state/run/kubeconfig"
  for number in $(numbers); do
    name=$(node "$number")
    write_kubeconfig "$name" "$state/run/$name.kubeconfig"
  done
  launch kube-controller-manager
  launch kube-scheduler
}

# Adds a user of the API server.
#   new_user FILE NAME GROUP
new_user() (
  umask 077
  openssl rand -hex 16 >"$state/run/$1.token"
  echo "$(cat "$state/run/$1.token"),$2,$2,$3" >>"$state/run/tokens.csv"
)

write_kubeconfig() (
  umask 077
  cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: cluster
contexts: [{ name: cluster, context: { cluster: cluster, user: $1 } }]
clusters: [{ name: cluster, cluster: { server: "$(api_url)", certificate-authority: "$state/run/ca.crt" } }]
users: [{ name: $1, user: { token: "$(cat "$state/run/$1.token")" } }]
YAML
)

# Starts a program of the control plane. Its output is in log/PROGRAM.log.
launch() {
  local options=() bind client
  bind=$(api_address)
  client=(--kubeconfig="$state/run/kubeconfig" --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=100 --kube-api-burst=200)
  case $1 in
    etcd) options=(
      --data-dir="$state/run/etcd" --unsafe-no-fsync --log-level=warn
      --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379
      --listen-peer-urls=http://127.0.0.1:0
    ) ;;
    kube-apiserver) options=(
      --etcd-servers=http://127.0.0.1:2379 --bind-address="$bind" --advertise-address="$bind"
      --secure-port=6443 --cert-dir="$state/run/certificates" --service-cluster-ip-range="$(service_ranges)"
      --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$state/run/sa.key"
      --service-account-signing-key-file="$state/run/sa.key" --token-auth-file="$state/run/tokens.csv"
      --authorization-mode='Node,RBAC' --allow-privileged=true --kubelet-preferred-address-types=InternalIP
      --enable-aggregator-routing=true
    ) ;;
    kube-controller-manager) options=(
      "${client[@]}" --cert-dir="$state/run/controller-manager"
      --service-account-private-key-file="$state/run/sa.key" --root-ca-file="$state/run/ca.crt"
      --cluster-cidr="$(cluster_range)" --allocate-node-cidrs=false
    ) ;;
    kube-scheduler) options=("${client[@]}" --cert-dir="$state/run/scheduler") ;;
  esac
  setsid ip netns exec $control "$peers/$1" "${options[@]}" >>"$state/log/$1.log" 2>&1 </dev/null 9>&- &
  # Until the exec, it is not recognised.
  until [ "$(program_processes "$1")" ] || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
  disown
}

# Reports whether a program of the control plane is ready. Starts it again if it has ended, as kubelet does with the
# pods of a control plane: kube-apiserver gives up on a slow etcd.
program_answers() {
  [ "$(program_processes "$1")" ] || launch "$1"
  program_ready "$1"
}

program_ready() {
  local url
  case $1 in
    etcd) url=http://127.0.0.1:2379/readyz ;;
    kube-apiserver) url=$(api_url)/readyz ;;
    kube-controller-manager) url=https://127.0.0.1:10257/healthz ;;
    kube-scheduler) url=https://127.0.0.1:10259/healthz ;;
  esac
  ip netns exec $control curl --silent --fail --insecure --noproxy '*' --max-time 5 --output /dev/null \
    --header "Authorization: Bearer $(cat "$state/run/admin.token")" "$url"
}

# Prints the processes of a program of the control plane.
program_processes() {
  local pid
  for pid in $(ip netns pids $control); do
    ! grep -qz "^$peers/$1\$" "/proc/$pid/cmdline" 2>/dev/null || echo "$pid"
  done
}

end_program() {
  local pid
  # A second SIGTERM would end kube-apiserver at once.
  for pid in $(program_processes "$1"); do
    kill "$pid" 2>/dev/null || true
    # kube-apiserver waits for its watchers, and for etcd.
    timeout 10 tail --pid="$pid" --sleep-interval=0.1 --follow /dev/null || kill -9 "$pid" 2>/dev/null || true
  done
}

# Waits until a command succeeds.
#   wait_for WHAT SECONDS COMMAND...
wait_for() {
  local what=$1 until=$((SECONDS + $2 * slowness)) shown=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || fail "$what: not ready in time"
    [ $((SECONDS - shown)) -lt 10 ] || { say "waiting for $what" && shown=$SECONDS; }
    sleep 0.3
  done
}

start_nodes() {
  local number name import imports=()
  for number in $(numbers); do start_node "$number"; done
  for number in $(numbers); do
    name=$(node "$number")
    wait_for_containerd "$number"
    import "$name" "$archives/images.tar" &
    imports+=($!)
    [ ! -e dist/image.tar ] || { import "$name" "$PWD/dist/image.tar" & imports+=($!); }
  done
  say "images"
  for import in "${imports[@]}"; do wait "$import" || fail "the images could not be imported: see $state/nodes/*/log/import.log"; done
  for number in $(numbers); do join_cluster "$number"; done
}

# Starts a node, which finds its disk if it ran before.
start_node() {
  local name path options
  name=$(node "$1")
  connect_node "$1"
  mkdir -p "$state/nodes/$name"/{lib,log}
  while read -r path options; do
    mkdir -p "$path/$name"
    # A cpuset has no processors until it is given some.
    case ",$options," in *,cpuset,*)
      cat "$path/cpuset.cpus" >"$path/$name/cpuset.cpus"
      cat "$path/cpuset.mems" >"$path/$name/cpuset.mems" ;;
    esac
  done < <(hierarchies)
  setsid scripts/cluster/node.sh launch "$1" >>"$state/nodes/$name/log/node.log" 2>&1 </dev/null 9>&- &
  disown
}

wait_for_containerd() { wait_for "containerd of $(node "$1")" 300 in_node "$(node "$1")" "$peers/ctr" version; }

# Waits until a node that was started is ready, and gives it its pod CIDRs.
join_cluster() {
  local name
  name=$(node "$1")
  wait_for "$name to register" 300 kubectl get node "$name"
  kubectl patch node "$name" --patch "$(pod_cidrs "$1")" >/dev/null
  wait_for "$name" 300 ready_since_boot "$name"
}

# Reports whether a node is ready, and has been since its last boot.
ready_since_boot() {
  [ "$(kubectl get node "$1" --output='jsonpath={.status.nodeInfo.bootID} {.status.conditions[?(@.type=="Ready")].status}')" = \
    "$(in_node "$1" cat /proc/sys/kernel/random/boot_id) True" ]
}

import() { in_node "$1" "$peers/ctr" --namespace k8s.io images import --local "$2" >>"$state/nodes/$1/log/import.log" 2>&1; }

import_image() {
  local name
  [[ $1 != none && $1 != kube-proxy* ]] || return 0
  for name in $(nodes); do import "$name" "$PWD/dist/image.tar"; done
}

pod_cidrs() {
  local ranges
  ranges=$(pod_ranges "$1")
  echo "{ \"spec\": { \"podCIDR\": \"${ranges%,*}\", \"podCIDRs\": [\"${ranges//,/\", \"}\"] } }"
}

# Replaces what serves Services by the DaemonSet of a mode, as users install it.
deploy_mode() {
  local mode=$1 upstream_mode component='' running dir=$state/run/deploy
  case $mode in kube-proxy:*) upstream_mode=${mode#*:} ;; *) upstream_mode=nftables ;; esac
  running=$(running_mode)
  # When kube-proxy starts, it removes the rules of the other modes before its own are in force, and it does not know
  # mode ebpf at all. It takes over the rules of its own mode.
  if [[ $mode = kube-proxy* && $running && $running != "$upstream_mode" ]]; then
    deploy_mode "$upstream_mode"
    running=$upstream_mode
  fi
  say "deploying $mode"
  rm -rf "$dir"
  mkdir -p "$dir"
  case $mode in
    none) remove_daemonsets proxy kube-proxy ;;
    kube-proxy*)
      # kube-proxy, too: another configuration of it does not roll its pods.
      remove_daemonsets proxy kube-proxy
      write_proxy_configuration "$dir" "$upstream_mode"
      kubectl --namespace kube-system create configmap kube-proxy --from-file="$dir/config.conf" \
        --from-file="$dir/kubeconfig.conf" --dry-run=client --output=yaml | kubectl apply --filename=- >/dev/null
      kubectl apply --filename=scripts/cluster/kube-proxy.yaml >/dev/null
      rolled_out daemonset/kube-proxy ;;
    *)
      remove_daemonsets kube-proxy
      write_proxy_configuration "$dir" "$mode"
      [ "$mode" = ebpf ] || [ "$running" != ebpf ] || component=after-ebpf
      write_overlay "$dir" "$mode" "$component"
      kubectl apply --kustomize="$dir" >/dev/null
      rolled_out daemonset/proxy ;;
  esac
}

# Waits for the end of the pods, so that no two proxies program a node at the same time. Their rules stay.
remove_daemonsets() {
  kubectl --namespace kube-system delete daemonset --ignore-not-found --cascade=foreground --timeout=120s "$@" >/dev/null
}

# Prints the mode of the proxy; nothing if it does not run.
running_mode() {
  local configuration
  configuration=$(kubectl --namespace kube-system get daemonset proxy --ignore-not-found \
    --output=jsonpath='{.spec.template.spec.volumes[?(@.name=="config")].configMap.name}')
  [ -z "$configuration" ] ||
    kubectl --namespace kube-system get configmap "$configuration" --output=jsonpath='{.data.config\.conf}' | sed -n 's/^mode: //p'
}

write_proxy_configuration() {
  sed -E "s#^clusterCIDR: .*#clusterCIDR: $(cluster_range)#; s#^mode: .*#mode: $2#" deploy/kubernetes/base/config.conf >"$1/config.conf"
  # As kubeadm writes it for a cluster with IPv6 alone: health is served on this address.
  [ "$families" != 6 ] || echo 'bindAddress: "::"' >>"$1/config.conf"
  # The limit of connection tracking belongs to the whole machine.
  echo "conntrack: { maxPerCore: 0, min: 0 }" >>"$1/config.conf"
  printf '%s\n' "${PROXY_CONFIGURATION:-}" >>"$1/config.conf"
  sed "s#server: .*#server: $(api_url)#" deploy/kubernetes/base/kubeconfig.conf >"$1/kubeconfig.conf"
}

write_overlay() {
  cat >"$1/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: kube-system
resources: ["$(realpath --relative-to="$1" "deploy/kubernetes/overlays/$2")"]
# As kube-proxy, which is privileged, the proxy is to set what its configuration says.
components:
  - $(realpath --relative-to="$1" deploy/kubernetes/components/node-settings)
$([ -z "$3" ] || echo "  - $(realpath --relative-to="$1" "deploy/kubernetes/components/$3")")
images: [{ name: localhost/proxy, newTag: ${proxy_image##*:} }]
configMapGenerator: [{ name: proxy, behavior: merge, files: [config.conf, kubeconfig.conf] }]
patches:
  # A rebuilt image has the same name, so its digest is what rolls the DaemonSet.
  - patch: |
      { "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "proxy" },
        "spec": { "template": { "metadata": { "annotations": { "proxy/image": "$(cat dist/image.digest)" } } } } }
  # The label by which Kubernetes' tests find the pods of kube-proxy, to restart them.
  - patch: |
      { "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "proxy" },
        "spec": { "template": { "metadata": { "labels": { "k8s-app": "kube-proxy" } } } } }
YAML
  [ "$2" != ebpf ] || cat >>"$1/kustomization.yaml" <<YAML
  - patch: |
      { "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "proxy" }, "spec": { "template": { "spec": { "volumes": [
        { "name": "cgroup", "hostPath": { "path": "$(hierarchies | sed -n 's/ 2$//p')", "type": "Directory" } }],
        "initContainers": [{ "name": "node-settings", "args": ["--config=/var/lib/kube-proxy/config.conf", "--init-only",
          "--hostname-override=\$(NODE_NAME)", "--ebpf-cgroup=/host/cgroup"],
          "volumeMounts": [{ "name": "cgroup", "mountPath": "/host/cgroup" }] }] } } } }
YAML
}

rolled_out() {
  kubectl --namespace kube-system rollout status "$1" --timeout=$((300 * slowness))s >/dev/null && return
  kubectl --namespace kube-system get pods --output=wide >&2 || true
  kubectl --namespace kube-system logs "$1" --tail=20 >&2 || true
  fail "$1 is not ready"
}

# CoreDNS needs the Service kubernetes, so without a proxy it is not waited for.
start_dns() {
  say "DNS"
  sed "s/DNS_ADDRESS/$(dns_address)/" scripts/cluster/coredns.yaml | kubectl apply --filename=- >/dev/null
  [ "$1" = none ] || rolled_out deployment/coredns
}

# Ends every process of nodes or of the control plane and removes their namespaces and cgroups. Needs no records
# of `up`: everything is found by its namespace or cgroup.
#   end NAME...
end() {
  local name pid until
  # A node ends with its process 1.
  for name in "$@"; do
    pid=$(init_of "$name")
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
  done
  until=$((SECONDS + 30))
  while :; do
    pid=$(processes "$@")
    # shellcheck disable=SC2086 # one argument per process
    [ -z "$pid" ] || kill -9 $pid 2>/dev/null || true
    remove_cgroups "$@" && [ -z "$pid" ] && break
    [ $SECONDS -lt $until ] || fail "some processes do not end: $(processes "$@" | paste -sd ' '). Try again, or restart the machine"
    sleep 0.2
  done
  for name in "$@"; do
    [ ! -e "/run/netns/$name" ] || ip netns delete "$name"
  done
}

# Prints the processes of nodes or of the control plane.
#   processes NAME...
processes() {
  local name path
  for name in "$@"; do
    [ ! -e "/run/netns/$name" ] || ip netns pids "$name"
    while read -r path _; do
      [ ! -e "$path/$name" ] || find "$path/$name" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done < <(hierarchies)
  done | sort -un
}

# Removes the cgroups of nodes. Fails if some still have processes.
#   remove_cgroups NAME...
remove_cgroups() {
  local name path
  while read -r path _; do
    for name in "$@"; do
      [ ! -e "$path/$name" ] || find "$path/$name" -depth -type d -exec rmdir {} + 2>/dev/null || return 1
    done
  done < <(hierarchies)
}

main "$@"
