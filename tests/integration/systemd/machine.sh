#!/bin/bash
# machine.sh NETNS CGROUP
# Runs systemd as process 1 of namespaces of its own, with the network of the namespace NETNS and in a new cgroup
# CGROUP. The root is that of the host with an overlay in memory: the same programs and packages, and nothing that is
# written there is kept. Runs until the process is killed; systemd and everything that it started end with it.
set -euo pipefail
network=$1 group=$2

hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ "$hierarchy" ] || {
  echo "machine: no cgroups of version 2 are mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup" >&2
  exit 1
}
mkdir "$hierarchy/$group"
echo $BASHPID >"$hierarchy/$group/cgroup.procs"

inside() {
  root=$(mktemp -d)
  mount -t tmpfs tmpfs "$root"
  mkdir "$root"/{upper,work,root}
  mount -t overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" overlay "$root/root"
  cd "$root/root"
  mkdir -p proc sys dev run tmp etc/systemd/system
  mount_kernel
  mount_devices
  # Only what a test installs is enabled, and nothing keeps services from being started.
  mount -t tmpfs tmpfs etc/systemd/system
  mount -t tmpfs tmpfs etc/init.d
  rm -f usr/sbin/policy-rc.d
  # Settings of the host's kernel are not this machine's.
  ln -s /dev/null etc/systemd/system/systemd-sysctl.service
  ln -s /dev/null etc/systemd/system/systemd-modules-load.service
  : >etc/machine-id
  echo here >etc/hostname
  for directory in run tmp var/log; do mount -t tmpfs -o mode=755 tmpfs $directory; done
  chmod 1777 tmp
  mkdir run/host
  pivot_root . run/host
  umount --lazy /run/host
  rmdir /run/host
  exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target \
    --show-status=no
}

# Settings of the kernel are those of the host, except for the network.
mount_kernel() {
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount --bind proc/sys/net proc/sys/net
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t bpf bpf sys/fs/bpf
}

mount_devices() {
  mount -t tmpfs -o mode=755 tmpfs dev
  for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  mount -t tmpfs tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
}

export -f inside mount_kernel mount_devices
exec nsenter --net="/run/netns/$network" unshare --cgroup --mount --pid --uts --ipc --fork --kill-child \
  --propagation private bash -euo pipefail -c inside
