#!/bin/bash
# Outlives the lab that starts it, to take the sandbox down when that process closes our standard input: by
# asking, by failing, or by being killed. Ends what runs in the namespaces called PREFIX-*, and deletes them.
# Removes DIRECTORY, the lab's scratch space, with the mounts and the cgroup in it that socket_place.ts makes.
#   keeper.sh PREFIX DIRECTORY
trap '' INT TERM HUP
cat >/dev/null
for namespace in $(ip netns list | awk -v prefix="$1-" 'index($1, prefix) == 1 { print $1 }'); do
  pids=$(ip netns pids "$namespace")
  # shellcheck disable=SC2086 # one argument per process
  [ -z "$pids" ] || kill -9 $pids 2>/dev/null
  ip netns delete "$namespace"
done
if [ -d "$2/cgroup" ]; then
  # Killed processes leave it in their own time.
  for _ in {1..100}; do
    rmdir "$2/cgroup/$1" 2>/dev/null && break
    sleep 0.05
  done
  umount "$2/cgroup" "$2/bpf"
fi
rm -rf --one-file-system "$2"
