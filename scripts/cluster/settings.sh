# Names, addresses and places of the test cluster, for scripts/cluster.sh and the scripts that it starts.
# shellcheck shell=bash disable=SC2034
. scripts/env.sh

# Several clusters can run at a time under different names.
cluster=${PROXY_CLUSTER:-proxy}
[[ $cluster =~ ^[a-z][a-z0-9-]{0,19}$ ]] || { echo "cluster: PROXY_CLUSTER=$cluster: must be up to 20 lower-case letters, digits and hyphens, and begin with a letter" >&2; exit 1; }
archives=$PROXY_CACHE/cluster # images of all clusters
state=$archives/$cluster
peers=$PROXY_CACHE/peers
control=$cluster-control # network namespace of the control plane
kubernetes_version=v1.37.1
proxy_image=localhost/proxy:cluster

# The families of Services, pods and nodes, the main one first: scripts/cluster.sh up writes them.
families=$(cat "$state/run/families" 2>/dev/null || echo "4 6")

say() { echo "cluster: $*"; }
fail() {
  echo "cluster: $*" >&2
  exit 1
}

node() { echo "$cluster-node-$1"; }

# Network namespaces of the nodes of the running cluster.
nodes() { find /run/netns -maxdepth 1 -name "$cluster-node-[1-9]" -printf '%f\n' 2>/dev/null | sort; }

# Prints its arguments of the families in use, separated by commas.
#   of_families IPV4 IPV6
of_families() {
  local family list=()
  for family in $families; do
    if [ "$family" = 4 ]; then list+=("$1"); else list+=("$2"); fi
  done
  (IFS=,; echo "${list[*]}")
}

api_address() { of_families 192.168.89.1 fd00:10:89::1 | cut -d, -f1; }
api_url() { case $families in 4*) echo https://192.168.89.1:6443 ;; *) echo "https://[fd00:10:89::1]:6443" ;; esac; }
dns_address() { case $families in 4*) echo 10.96.0.10 ;; *) echo fd00:10:96::a ;; esac; }
node_addresses() { of_families "192.168.89.1$1" "fd00:10:89::1$1"; }
pod_ranges() { of_families "10.244.$1.0/24" "fd00:10:244:$1::/64"; }
cluster_range() { of_families 10.244.0.0/16 fd00:10:244::/56; }
service_ranges() { of_families 10.96.0.0/16 fd00:10:96::/112; }

# Prints the mounted cgroup hierarchies: mount point, then the options that mount it again ("2" for version 2).
hierarchies() {
  awk '$5 ~ "^/sys/fs/cgroup(/|$)" {
    for (i = 7; $i != "-"; i++);
    if ($(i + 1) == "cgroup2") { print $5, 2; next }
    if ($(i + 1) != "cgroup") next
    options = ""
    count = split($(i + 3), option, ",")
    for (n = 1; n <= count; n++) {
      if (option[n] ~ /^name=/) options = options ",none," option[n]
      else if (option[n] ~ /^(cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|net_cls|net_prio|perf_event|hugetlb|rdma|misc)$/)
        options = options "," option[n]
    }
    print $5, substr(options, 2)
  }' /proc/self/mountinfo | sort -u
}

# Runs a command in a node: in its namespaces and its cgroups.
#   in_node NODE COMMAND...
in_node() (
  pid=$(init_of "$1")
  [ "$pid" ] || fail "$1 does not run. Nodes that run: $(nodes | paste -sd ' ' | grep . || echo none)"
  join_cgroups "$1"
  shift
  exec nsenter --target "$pid" --mount --net --pid --uts --ipc --cgroup "$@"
)

join_cgroups() {
  local path
  while read -r path _; do
    # In a node with version 2 alone, processes are in a child, because the controllers of a cgroup serve
    # either its processes or its children.
    if [ -d "$path/$1/init" ]; then path=$path/$1/init; else path=$path/$1; fi
    echo "$BASHPID" >"$path/cgroup.procs" || return
  done < <(hierarchies)
}

# Prints the process that is number 1 in the PID namespace of a node.
init_of() {
  local pid
  for pid in $(ip netns pids "$1" 2>/dev/null); do
    [ "$(awk '/^NSpid:/ { print NF ":" $NF }' "/proc/$pid/status" 2>/dev/null)" = 3:1 ] || continue
    echo "$pid"
    # 0 explicitly, because in a trap the default is the status from before the trap.
    return 0
  done
}
