#!/bin/bash
# Removes a lab when the process that made it closes our standard input: on request, on failure, or because that
# process was killed. Kills the processes in the namespaces called PREFIX-* and deletes the namespaces. Removes
# DIRECTORY, the scratch directory of the lab, with the mounts and the cgroup that ebpf_mounts.ts made in it.
#   cleanup.sh PREFIX DIRECTORY
trap '' INT TERM HUP
cat >/dev/null
for namespace in $(ip netns list | awk -v prefix="$1-" 'index($1, prefix) == 1 { print $1 }'); do
  pids=$(ip netns pids "$namespace")
  # shellcheck disable=SC2086 # one argument per process
  [ -z "$pids" ] || kill -9 $pids 2>/dev/null
  ip netns delete "$namespace"
done
if [ -d "$2/cgroup" ]; then
  # Killed processes leave the cgroup asynchronously.
  for _ in {1..100}; do
    rmdir "$2/cgroup/$1" 2>/dev/null && break
    sleep 0.05
  done
  umount "$2/cgroup" "$2/bpf"
fi
rm -rf --one-file-system "$2"
