#!/bin/bash
# Outlives the lab that starts it, to take the sandbox down when that process closes our standard input: by
# asking, by failing, or by being killed. Ends what runs in the namespaces called PREFIX-*, and deletes them.
# Removes DIRECTORY, the lab's scratch space.
#   keeper.sh PREFIX DIRECTORY
trap '' INT TERM HUP
cat >/dev/null
for namespace in $(ip netns list | awk -v prefix="$1-" 'index($1, prefix) == 1 { print $1 }'); do
  pids=$(ip netns pids "$namespace")
  # shellcheck disable=SC2086 # one argument per process
  [ -z "$pids" ] || kill -9 $pids 2>/dev/null
  ip netns delete "$namespace"
done
rm -rf "$2"
