/** The bpffs and the cgroup that a lab has of its own for mode ebpf, so that several labs can run at the same time. */
export interface EbpfMounts {
  /** Directory in a bpffs; the proxy creates it. */
  readonly bpffs: string;
  /** Cgroup of the processes that run on the node and in its pods. */
  readonly cgroup: string;
}

/** Flags that make the proxy use the mounts. */
export function ebpfFlags({ bpffs, cgroup }: EbpfMounts): readonly string[] {
  return [`--ebpf-bpffs=${bpffs}`, `--ebpf-cgroup=${cgroup}`];
}

/** Paths of the mounts in the directory of a lab. */
export function ebpfMountsIn(directory: string, prefix: string): EbpfMounts {
  return { bpffs: `${directory}/bpf/proxy`, cgroup: `${directory}/cgroup/${prefix}` };
}

/** Makes the mounts and the cgroup. cleanup.sh removes them. */
export async function makeEbpfMounts({ bpffs, cgroup }: EbpfMounts): Promise<void> {
  // The usual mounts below /sys cannot be used, because `ip netns exec` mounts another /sys.
  await mount("bpf", parentOf(bpffs));
  await mount("cgroup2", parentOf(cgroup));
  await Deno.mkdir(cgroup);
}

async function mount(type: string, path: string): Promise<void> {
  await Deno.mkdir(path);
  const { code, stderr } = await new Deno.Command("mount", { args: ["-t", type, type, path] }).output();
  if (code !== 0) throw new Error(`mount -t ${type}: ${new TextDecoder().decode(stderr)}`);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
