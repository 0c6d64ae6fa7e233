#!/bin/bash
# One node of the test cluster: namespaces of its own with containerd and kubelet. For scripts/cluster.sh.
#   scripts/cluster/node.sh launch NUMBER     runs until the node ends
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/cluster/settings.sh

number=$2
node=$(node "$number")
dir=$state/nodes/$node

# Enters the cgroups of the node. The cgroup namespace makes them look like the roots of their hierarchies, so
# that kubelet can run with its defaults.
launch() {
  join_cgroups "$node"
  exec unshare --cgroup "$0" enter "$number"
}

# Enters the other namespaces of the node.
enter() {
  # In a machine with version 2 alone, the root must have no processes of its own: see join_cgroups.
  if [ "$(hierarchies)" = "/sys/fs/cgroup 2" ]; then
    mkdir -p "/sys/fs/cgroup/$node/init"
    join_cgroups "$node"
  fi
  exec nsenter --net="/run/netns/$node" unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc \
    --propagation private "$0" init "$number"
}

# The node's process 1. All other processes of the node end with it.
init() {
  # Releases the namespaces of other programs, which would live as long as the node otherwise.
  umount --lazy --recursive /run/netns 2>/dev/null || true
  hostname "$node"
  mount --make-rshared /
  mount_cgroups
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock /run/netns
  mount --bind "$dir/lib" /var/lib
  mount --bind "$dir/log" /var/log
  shield_sysctls
  complete_cpuinfo
  write_configuration

  export PATH=$peers:/usr/sbin:/usr/bin:/sbin:/bin
  containerd --config /run/containerd.toml >>/var/log/containerd.log 2>&1 &
  until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done
  kubelet --config=/run/kubelet.yaml --kubeconfig="$state/run/$node.kubeconfig" --root-dir=/var/lib/kubelet \
    --cert-dir=/var/lib/kubelet/pki --hostname-override="$node" --node-ip="$(node_addresses "$number")" \
    --node-labels="topology.kubernetes.io/region=here,topology.kubernetes.io/zone=zone-$(((number - 1) % 3 + 1))" \
    >>/var/log/kubelet.log 2>&1 &
  # Bash reaps the processes that pods leave behind.
  while true; do wait || true; sleep 1; done
}

# Mounts the hierarchies of the machine where the machine has them.
mount_cgroups() {
  local list=() path options
  mapfile -t list < <(hierarchies)
  mount -t sysfs sysfs /sys
  [ "${list[*]}" = "/sys/fs/cgroup 2" ] || mount -t tmpfs tmpfs /sys/fs/cgroup
  while read -r path options; do
    mkdir -p "$path"
    if [ "$options" = 2 ]; then mount -t cgroup2 cgroup2 "$path"; else mount -t cgroup -o "$options" cgroup "$path"; fi
  done < <(printf '%s\n' "${list[@]}")
  mount -t bpf bpf /sys/fs/bpf
}

# Shows kubelet the values that it wants of sysctls that belong to the whole machine, so that it sets none, and
# an identity of this boot.
shield_sysctls() {
  local setting file
  mkdir /run/sysctl
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000 \
    "kernel/random/boot_id=$(cat /proc/sys/kernel/random/uuid)"; do
    file=/run/sysctl/$(basename "${setting%=*}")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
  done
}

# Adds a clock speed, without which kubelet does not start, to processors of a user-mode kernel: see scripts/uml.sh.
complete_cpuinfo() {
  ! grep -q '^vendor_id.*User Mode Linux' /proc/cpuinfo || {
    sed 's/^bogomips.*/&\ncpu MHz\t\t: 1000.000/' /proc/cpuinfo >/run/cpuinfo
    mount --bind /run/cpuinfo /proc/cpuinfo
  }
}

write_configuration() {
  : >/run/resolv.conf
  # restrict_oom_score_adj: containers of a machine without CAP_SYS_RESOURCE could not be started.
  cat >/run/containerd.toml <<TOML
version = 3
[plugins.'io.containerd.internal.v1.opt']
  path = "/var/lib/containerd/opt"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "registry.k8s.io/pause:3.10.2"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/run/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "/usr/sbin/runc"
      SystemdCgroup = false
TOML

  local ranges=() routes=() range device='"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true'
  [ "$(cat "$state/run/cni")" = bridge ] || device='"type": "ptp"'
  for range in $(pod_ranges "$number" | tr , ' '); do
    ranges+=("[{ \"subnet\": \"$range\" }]")
    if [[ $range = *:* ]]; then routes+=('{ "dst": "::/0" }'); else routes+=('{ "dst": "0.0.0.0/0" }'); fi
  done
  mkdir /run/cni
  cat >/run/cni/10-pods.conflist <<JSON
{ "cniVersion": "1.0.0", "name": "pods", "plugins": [
  { $device, "ipMasq": false, "ipam": {
    "type": "host-local", "dataDir": "/run/cni-ipam",
    "ranges": [$(IFS=,; echo "${ranges[*]}")], "routes": [$(IFS=,; echo "${routes[*]}")] } },
  { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true } ] }
JSON

  cat >/run/kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }
authorization: { mode: AlwaysAllow }
cgroupDriver: cgroupfs
clusterDNS: ["$(dns_address)"]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
evictionHard: { memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%" }
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
kubeAPIBurst: 200
kubeAPIQPS: 100
resolvConf: /run/resolv.conf
serializeImagePulls: false
volumePluginDir: /var/lib/kubelet/plugins-volume
YAML
}

"$1"
