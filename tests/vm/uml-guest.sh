#!/bin/bash
# Runs a command as the first process of a user-mode machine and then powers the machine off. For scripts/uml.sh,
# which has written the job and reads the outcome.
#   uml-guest.sh JOB
# shellcheck disable=SC1091,SC2154  # the job defines checkout and command
set -o pipefail
job=$1
stty -opost </dev/console

main() {
  mkdir -p /dev/pts /dev/shm
  ln -s /proc/self/fd /dev/fd
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # As systemd does, which is not here: children of the root have all controllers.
  sed 's/\</+/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
  mount -t bpf bpf /sys/fs/bpf
  # What is written here stays on the host.
  mount -t hostfs -o "$job" hostfs "$job"
  . "$job/job"
  mount -t hostfs -o "$checkout/dist" hostfs "$checkout/dist"
  ip link set lo up
  hostname uml
  cd "$checkout" || return
  echo "uml: Linux $(uname -r), $(nproc) processors, $(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MB, started in $(cut -d' ' -f1 /proc/uptime) s"

  local status=0
  # The pipe keeps programs from treating the console as a terminal.
  { . "$job/environment" && "${command[@]}"; } 2>&1 | cat || status=$?
  # Kernel warnings are findings, too.
  dmesg | grep -aE 'WARNING:|BUG:|Oops|blocked for more than|stalls on CPU' | sed 's/^/uml: kernel: /'
  echo $status >"$job/status"
  sync
  busybox poweroff -f
}

main
