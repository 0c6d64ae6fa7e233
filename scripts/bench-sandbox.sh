# Makes a network namespace, a BPF file system and a cgroup for a measurement of mode ebpf, and removes them at the end
# of the script that sources this file. Sets name (of the namespace and the cgroup) and directory (with bpf and cgroup).
name=proxy-bench-$$ directory=/run/proxy-bench-$$
clean() {
  ip netns del "$name" 2>/dev/null || true
  rmdir "$directory/cgroup/$name" 2>/dev/null || true
  umount "$directory/bpf" "$directory/cgroup" 2>/dev/null || true
  rm -rf "$directory"
}
trap clean EXIT
mkdir -p "$directory/bpf" "$directory/cgroup"
mount -t bpf bpf "$directory/bpf"
mount -t cgroup2 cgroup2 "$directory/cgroup"
mkdir "$directory/cgroup/$name"
ip netns add "$name"
